//! What lines mean, and which are refused.

use super::*;

fn meaning(config: &ScrapeConfig, page: &str) -> Result<Meaning, PageError> {
    let target = Labels::from_pairs([("job", "j"), ("instance", "i")]);
    understand(page.as_bytes(), Format::Text, config, &target)
}

#[test]
fn series_that_override_target_labels_have_layouts_of_their_own() {
    let mut config = ScrapeConfig::new("j");
    config.honor_labels = true;
    let page = "# TYPE a counter\n# HELP a Help.\na 1\nb{job=\"x\"} 2\nc 3\nb{job=\"x\"} 4\nd 5 1000\n";
    let meaning = meaning(&config, page).expect("a good page");
    let places = [Place::At(0, 0), Place::At(1, 0), Place::At(0, 1), Place::At(1, 0), Place::At(2, 0)];
    assert_eq!((meaning.places.as_slice(), meaning.kept), (&places[..], 5));
    assert_eq!(meaning.drafts[1].target, Labels::from_pairs([("instance", "i")]));
    assert_eq!(meaning.drafts[1].slots[0].labels, Labels::from_pairs([("__name__", "b"), ("job", "x")]));
    assert_eq!(&*meaning.drafts[0].slots[0].metadata.help, "Help.");
    assert_eq!(*meaning.drafts[0].slots[1].metadata, Metadata::default());
    assert_eq!(meaning.drafts.iter().map(|draft| draft.tracked).collect::<Vec<_>>(), [true, true, false]);
    for draft in meaning.drafts {
        Layout::new(draft.target, draft.slots).expect("a valid layout");
    }
}

#[test]
fn limits_refuse_the_page() {
    for (set, page, error) in [
        ((|config| config.sample_limit = 1) as fn(&mut ScrapeConfig), "a 1\nb 1\n", "sample limit exceeded"),
        (
            |config| config.label_limit = 3,
            "a{b=\"1\"} 1\n",
            "label_limit exceeded (metric: a, number of labels: 4",
        ),
        (
            |config| config.label_name_length_limit = 8,
            "a{longer_name=\"1\"} 1\n",
            "label name: longer_name, length: 11",
        ),
        (
            |config| config.label_value_length_limit = 2,
            "a{b=\"123\"} 1\n",
            "value: \"123\", length: 3, limit: 2",
        ),
        (
            |config| config.names = model::NameValidation::Legacy,
            "{\"a.b\"} 1\n",
            "invalid metric name or label names",
        ),
        (|_| {}, "{a=\"b\"} 1\n", "line 1: missing metric name"),
        (|_| {}, "a 1\nb{x=\"1\",x=\"2\"} 1\n", "line 2: label name \"x\" is not unique"),
    ] {
        let mut config = ScrapeConfig::new("j");
        set(&mut config);
        let found = meaning(&config, page).expect_err(error).to_string();
        assert!(found.contains(error), "{found:?} should say {error:?}");
    }
}
