//! Random pages, one after the other, against a model that looks at each series alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use exposition::Format;
use model::stale_nan;
use parking_lot::Mutex;
use proptest::prelude::*;
use storage::{AppendOutcome, Appender, CommitSender, Row, commit_channel};

use super::*;
use crate::metrics::Metrics;

/// Time and bits of each sample, by series.
type Samples = BTreeMap<String, Vec<(i64, u64)>>;

/// A store's rule for one series: newer samples only.
fn push(samples: &mut Samples, series: String, time: i64, value: f64) {
    let samples = samples.entry(series).or_default();
    if samples.last().is_none_or(|(last, _)| *last < time) {
        samples.push((time, value.to_bits()));
    }
}

struct Store {
    samples: Mutex<Samples>,
    /// Layout references live this long.
    life: u64,
    appends: Mutex<u64>,
    commits: CommitSender,
}

impl Appender for Store {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), *self.appends.lock() / self.life))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let mut appends = self.appends.lock();
        if row.layout.token() != *appends / self.life {
            return Err(AppendError::Relayout);
        }
        *appends += 1;
        for (slot, cell) in row.cells.iter().enumerate() {
            let series = row.layout.layout().series(slot).to_string();
            match cell {
                Cell::Absent => {}
                Cell::Value(number) => {
                    push(&mut self.samples.lock(), series, row.timestamp, number.to_f64());
                }
                Cell::Stale => push(&mut self.samples.lock(), series, row.timestamp, stale_nan()),
            }
        }
        let commit = self.commits.commit(1);
        Ok(AppendOutcome {
            appended: 0,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit,
        })
    }
}

/// What a scrape finds: nothing, or for some series a value and whether it has its own time.
type Found = Option<BTreeMap<u8, (f64, bool)>>;

fn scrape() -> impl Strategy<Value = Found> {
    let value = prop_oneof![
        Just(0.0),
        Just(f64::INFINITY),
        (-1_000_000_i32..1_000_000).prop_map(|number| f64::from(number) / 100.0),
        any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |value| !value.is_nan()),
    ];
    // The same few series again and again, so that they come and go.
    proptest::option::weighted(
        0.85,
        proptest::collection::btree_map(0_u8..6, (value, prop::bool::weighted(0.2)), 0..6),
    )
}

/// Own times lie half a scrape back.
const STEP: i64 = 1_000;

/// Series 4 and 5 override the target's label `job`.
fn name(series: u8) -> (String, String) {
    match series {
        0..=3 => (format!("s{series}{{x=\"{series}\"}}"), format!("s{series}{{job=\"j\", x=\"{series}\"}}")),
        _ => (format!("s{series}{{job=\"other\"}}"), format!("s{series}{{job=\"other\"}}")),
    }
}

fn expected(scrapes: &[Found]) -> Samples {
    let (mut samples, mut live) = (Samples::new(), BTreeSet::new());
    for (time, found) in (1_i64..).map(|number| number * STEP).zip(scrapes) {
        let mut now = BTreeSet::new();
        for (series, (value, own)) in found.iter().flatten() {
            let at = if *own { time - STEP / 2 } else { time };
            push(&mut samples, name(*series).1, at, *value);
            if !own {
                now.insert(*series);
            }
        }
        for gone in live.difference(&now) {
            push(&mut samples, name(*gone).1, time, stale_nan());
        }
        live = now;
    }
    samples
}

proptest! {
    #[test]
    fn every_sample_and_every_end_is_written(scrapes in proptest::collection::vec(scrape(), 1..12), life in 1_u64..5) {
        let store = Arc::new(Store {
            samples: Mutex::default(),
            life: life * 3,
            appends: Mutex::new(0),
            commits: commit_channel(),
        });
        let (commits, _waiting) = tokio::sync::mpsc::channel(1);
        let sink = Sink { appender: Arc::clone(&store) as Arc<dyn Appender>, metrics: Metrics::default(), commits };
        let mut config = ScrapeConfig::new("j");
        config.honor_labels = true;
        let (target, texts) = (Labels::from_pairs([("job", "j")]), Texts::default());
        let origin = Origin { config: &config, target: &target, texts: &texts };
        let mut state = SeriesState::default();
        for (time, found) in (1_i64..).map(|number| number * STEP).zip(&scrapes) {
            let (mut losses, mut counts) = (Losses::default(), Counts::default());
            let Some(found) = found else {
                state.end(time, &sink, &mut losses).expect("appended");
                continue;
            };
            let mut text = String::new();
            for (series, (value, own)) in found {
                let own = if *own { format!(" {}", time - STEP / 2) } else { String::new() };
                let _ = writeln!(text, "{} {}{own}", name(*series).0, exposition::format_go_float(*value));
            }
            let page = Page { bytes: text.as_bytes(), format: crate::fetch::PageFormat::Text(Format::Text) };
            state.write(&page, time, origin, &sink, &mut losses, &mut counts).expect("written");
            prop_assert_eq!((counts.scraped, counts.kept), (found.len(), found.len()));
        }
        prop_assert_eq!(&*store.samples.lock(), &expected(&scrapes));
    }
}

mod lookup {
    use proptest::prelude::*;

    use super::super::*;

    /// Layouts of targets and slots that may, together, be the same series.
    fn written() -> impl Strategy<Value = Written> {
        let labels = |names: Vec<&'static str>| {
            let pair = (prop::sample::select(names), prop::sample::select(vec!["1", "2"]));
            prop::collection::vec(pair, 0..3).prop_map(Labels::from_pairs)
        };
        let target = prop_oneof![Just(Labels::from_pairs([("i", "1")])), labels(vec!["i", "a"])];
        let slots = prop::collection::hash_set(labels(vec!["a", "b", "i"]), 0..5);
        prop::collection::vec((target, slots, any::<bool>()), 0..3).prop_map(|all| Written {
            layouts: all
                .into_iter()
                .map(|(target, slots, tracked)| {
                    let own: HashSet<Labels> =
                        slots.into_iter().map(|labels| labels.filtered(|name| !target.has(name))).collect();
                    let slot = |labels| Slot::new(labels, Metadata::default());
                    let layout = Layout::new(target, own.into_iter().map(slot).collect());
                    (Arc::new(layout.expect("a layout")), tracked)
                })
                .collect(),
        })
    }

    fn all(written: &Written, tracked_only: bool) -> HashSet<Labels> {
        let layouts = written.layouts.iter().filter(|(_, tracked)| *tracked || !tracked_only);
        layouts.flat_map(|(layout, _)| (0..layout.slots().len()).map(|slot| layout.series(slot))).collect()
    }

    proptest! {
        /// A series is its whole label set, however it is looked up.
        #[test]
        fn series_are_found_by_all_of_their_labels(now in written(), last in written()) {
            prop_assert_eq!(now.added(Some(&last)), all(&now, false).difference(&all(&last, false)).count());
            prop_assert_eq!(now.added(None), all(&now, false).len());
            for tracked in [false, true] {
                let (series, naive) = (Series::of(&now, &last, tracked), all(&now, tracked));
                for (layout, _) in &last.layouts {
                    for slot in 0..layout.slots().len() {
                        prop_assert_eq!(series.has(layout, slot), naive.contains(&layout.series(slot)));
                    }
                }
            }
        }
    }
}
