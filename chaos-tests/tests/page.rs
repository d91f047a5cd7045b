//! A real scrape becomes one delivered page, and a silent agent becomes one more.

use std::collections::BTreeMap;
use std::time::Duration;

use chaos_tests::{
    Agent, AgentOptions, Folder, Name, NodeExporter, Pair, PairOptions, Recorder, alone, parse_page, report,
    samples, wait,
};
use testkit::{Sink, eventually};

const RULES: &str = "
      - alert: Switched
        expr: chaos_switch == 1
      - alert: AgentDown
        expr: up{job=\"vedette-agent\"} == 0
";
/// Labels that are not on the page: the target's and the agent's.
const ADDED: [&str; 4] = ["job", "instance", "agent", "site"];
/// Pages that are compared.
const PAGES: usize = 3;
/// Longest wait for a page of the alertmanager; an agent is silent only after 30 s.
const PAGED: Duration = Duration::from_secs(150);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_page_firing_one_resolved_and_every_sample_in_three_stores() {
    let _turn = alone().await;
    let folder = Folder::new();
    let Some(exporter) = NodeExporter::start(&folder).await else { return };
    let recorder = Recorder::start(&exporter.url()).await;
    let sink = Sink::start().await;
    let rules = PairOptions { rules: RULES.to_owned(), ..PairOptions::default() };
    let pair = Pair::start(&folder, &sink, &rules).await;
    let options = AgentOptions {
        scrape: format!(
            "  - job_name: node\n    static_configs:\n      - targets: [\"{}\"]\n",
            recorder.address()
        ),
        interval: "1s".to_owned(),
        endpoints: pair.endpoints(),
        host: false,
    };
    let mut agent = Agent::new(&folder, "edge", &options);
    agent.start().await;

    let stores = [agent.url(), pair.node("a").url(), pair.node("b").url()];
    for store in &stores {
        every_sample_is_there(store, &recorder).await;
    }

    exporter.switch("1", true);
    arrives(&sink, "Switched", "firing").await;
    exporter.switch("1", false);
    arrives(&sink, "Switched", "resolved").await;

    agent.kill();
    arrives(&sink, "AgentDown", "firing").await;
    agent.start().await;
    arrives(&sink, "AgentDown", "resolved").await;

    // Whoever would send a second copy has three group intervals for it.
    wait(Duration::from_secs(6)).await;
    for alert in ["Switched", "AgentDown"] {
        for status in ["firing", "resolved"] {
            let pages = sink.pages_of(alert, status);
            assert_eq!(pages.len(), 1, "{alert} {status}: {pages:#?}");
        }
    }
    assert_eq!(sink.pages().len(), 4, "{:#?}", sink.pages());
    report("page: 4 of 4 pages arrived once");
}

async fn arrives(sink: &Sink, alert: &str, status: &str) {
    eventually(&format!("a page: {alert} {status}"), PAGED, || async {
        (!sink.pages_of(alert, status).is_empty()).then_some(())
    })
    .await;
}

/// The first pages as the exporter served them are in the store, bit for bit, and nothing beside them.
async fn every_sample_is_there(store: &str, recorder: &Recorder) {
    let pages = recorded(store).await;
    let served = recorder.pages();
    for (number, stored) in pages.iter().take(PAGES) {
        let page = parse_page(&served[number - 1]);
        let expected: BTreeMap<Name, u64> =
            page.into_iter().map(|(name, bits)| (as_stored(name), bits)).collect();
        assert!(expected.len() > 100, "a page of {} series only", expected.len());
        let missing: Vec<_> =
            expected.iter().filter(|(name, bits)| stored.get(*name) != Some(bits)).collect();
        assert!(missing.is_empty(), "{store}: page {number} lacks {} samples: {missing:?}", missing.len());
        let more: Vec<_> = stored.keys().filter(|name| !expected.contains_key(*name)).collect();
        assert!(more.is_empty(), "{store}: page {number} has series that nobody served: {more:?}");
    }
}

/// What Prometheus 3 makes of a page's labels: an empty one is none, and bounds are written as floats.
fn as_stored(mut name: Name) -> Name {
    name.retain(|_, value| !value.is_empty());
    for bound in ["le", "quantile"] {
        if let Some(value) = name.get_mut(bound).filter(|value| value.bytes().all(|b| b.is_ascii_digit())) {
            value.push_str(".0");
        }
    }
    name
}

/// What the store holds, by page number, without the labels and series that a scrape adds.
async fn recorded(store: &str) -> BTreeMap<usize, BTreeMap<Name, u64>> {
    eventually(&format!("{PAGES} pages are in {store}"), Duration::from_secs(60), || async {
        let all = samples(store, "{job=\"node\"}[10m]").await.ok()?;
        let (_, numbers) = all.iter().find(|(name, _)| name["__name__"] == "chaos_page")?;
        let mut pages = BTreeMap::new();
        for (at, bits) in numbers {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
            let number = f64::from_bits(*bits) as usize;
            let mut page = BTreeMap::new();
            for (name, points) in &all {
                let own = name["__name__"] == "up" || name["__name__"].starts_with("scrape_");
                if let Some(bits) = points.get(at).filter(|_| !own) {
                    let mut name = name.clone();
                    name.retain(|label, _| !ADDED.contains(&label.as_str()));
                    page.insert(name, *bits);
                }
            }
            pages.insert(number, page);
        }
        (pages.len() >= PAGES).then_some(pages)
    })
    .await
}
