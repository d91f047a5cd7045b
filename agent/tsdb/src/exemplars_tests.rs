//! What is kept of random exemplars is what a plain list of them says.

use proptest::prelude::*;

use super::*;

fn series(at: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("s", at.to_string())])
}

fn exemplar(timestamp: i64, value: f64, trace: &str) -> Exemplar {
    Exemplar { labels: Labels::from_pairs([("trace_id", trace)]), value, timestamp: Some(timestamp) }
}

#[test]
fn a_series_goes_on_in_time_then_value_then_labels() {
    let mut kept = Exemplars::new(10, 1 << 20);
    let mut add = |exemplar| kept.add(&series(0), &[exemplar]).0;
    let taken = ExemplarCounts { appended: 1, ..ExemplarCounts::default() };
    let late = ExemplarCounts { out_of_order: 1, ..ExemplarCounts::default() };
    let twice = ExemplarCounts { duplicates: 1, ..ExemplarCounts::default() };
    assert_eq!(add(exemplar(5, 1.0, "b")), taken);
    assert_eq!(add(exemplar(5, 1.0, "b")), twice);
    assert_eq!(add(exemplar(4, 9.0, "z")), late);
    assert_eq!(add(exemplar(5, 0.5, "z")), late);
    assert_eq!(add(exemplar(5, 1.0, "a")), late);
    assert_eq!(add(exemplar(5, 1.0, "c")), taken);
    assert_eq!(add(exemplar(5, 2.0, "a")), taken);
    assert_eq!(add(exemplar(6, f64::NAN, "a")), taken);
    assert_eq!(add(exemplar(6, f64::NAN, "a")), twice);
    assert_eq!(add(exemplar(7, 1.0, &"x".repeat(200))).too_long, 1);
    assert_eq!(add(Exemplar { timestamp: None, ..exemplar(8, 1.0, "a") }).refused, 1);
}

#[test]
fn bytes_are_bounded_as_well() {
    let mut kept = Exemplars::new(1_000, 10_000);
    for at in 0..1_000 {
        kept.add(&series(at), &[exemplar(1, 1.0, "t")]);
    }
    assert!(kept.bytes <= 10_000 && (10..1_000).contains(&kept.order.len()));
    kept.resize(3);
    assert_eq!((kept.order.len(), kept.series.len()), (3, 3));
    kept.resize(0);
    assert_eq!((kept.bytes, kept.series.len()), (0, 0));
    assert_eq!(kept.add(&series(0), &[exemplar(1, 1.0, "t")]).0.refused, 1);
}

proptest! {
    #[test]
    fn the_newest_so_many_are_kept(
        max in 1..8usize,
        offered in prop::collection::vec((0..3usize, 0..6i64, 0..2u8, 0..2u8), 0..60),
        start in 0..6i64, end in 0..6i64,
    ) {
        let mut kept = Exemplars::new(max, usize::MAX);
        let mut naive: Vec<(Labels, Exemplar)> = Vec::new();
        for (at, timestamp, value, trace) in offered {
            let new = exemplar(timestamp, f64::from(value), &trace.to_string());
            let last = naive.iter().rev().find(|(labels, _)| *labels == series(at)).map(|(_, last)| last);
            let rank = |one: &Exemplar| (one.timestamp, one.value as i64, one.labels.clone());
            let news = last.is_none_or(|last| rank(&new) > rank(last));
            prop_assert_eq!(kept.add(&series(at), std::slice::from_ref(&new)).0.appended, usize::from(news));
            if news {
                naive.push((series(at), new));
                if naive.len() > max {
                    naive.remove(0);
                }
            }
        }
        let range = TimeRange { start, end };
        for at in 0..3 {
            let sets = [vec![Matcher::equal("s", "none")], vec![Matcher::equal("s", &*at.to_string())]];
            let found = kept.select(&sets, range);
            let found: Vec<Exemplar> = found.into_iter().flat_map(|series| series.exemplars).collect();
            let inside = |(labels, one): &&(Labels, Exemplar)| {
                *labels == series(at) && range.contains(one.timestamp.unwrap_or_default())
            };
            let expected: Vec<Exemplar> = naive.iter().filter(inside).map(|(_, one)| one.clone()).collect();
            prop_assert_eq!(found, expected);
        }
        prop_assert!(kept.select(&[], TimeRange::ALL).is_empty());
    }
}
