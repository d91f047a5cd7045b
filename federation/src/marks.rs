//! Who of a pair writes what both evaluate: the writer of record and its warm twin.
//!
//! Both replicas evaluate each group at the same grid times. The first by name of those that hear each
//! other writes, and ends each evaluation with a mark in its own stream: a sample of
//! `vedette_rule_group_evaluated` at the evaluation's time. The other publishes its own result when
//! that mark has not come 5 s after its own evaluation. Without the twin both write, and the store's
//! conflict order merges them.

use std::sync::Arc;
use std::time::Duration;

use model::{Labels, METRIC_NAME, Matcher, Metadata};
use repair::PairView;
use storage::{AppendError, Appender, Cell, Layout, Number, Querier, Row, Select, Slot, TimeRange};
use tsdb::Store;

/// The metric whose samples are marks.
const MARK: &str = "vedette_rule_group_evaluated";
/// Label that names the group.
const GROUP: &str = "rule_group";
/// How long the warm twin waits for the writer's mark.
pub(crate) const MARK_WAIT: Duration = Duration::from_secs(5);

/// Decides for one replica whether it publishes an evaluation.
#[derive(Clone)]
pub(crate) struct Marks {
    store: Arc<Store>,
    name: String,
    /// None at a node without a twin.
    twin: Option<PairView>,
}

impl Marks {
    pub(crate) fn new(store: Arc<Store>, name: String, twin: Option<PairView>) -> Self {
        Self { store, name, twin }
    }

    /// Whether this replica is the writer of record now.
    pub(crate) fn is_writer(&self) -> bool {
        let heard = self.twin.as_ref().and_then(PairView::heard);
        heard.is_none_or(|twin| self.name < twin.replica)
    }

    /// Whether this replica must publish the group's evaluation of `at_ms`: at once as the writer,
    /// else after the writer had its time and left no mark.
    pub(crate) async fn must_publish(&self, group: &str, at_ms: i64) -> bool {
        if self.is_writer() {
            return true;
        }
        let marked = tokio::time::timeout(MARK_WAIT, async {
            while !self.is_marked(group, at_ms).await {
                if self.is_writer() {
                    return false;
                }
                tokio::time::sleep(MARK_WAIT / 20).await;
            }
            true
        });
        !marked.await.unwrap_or(false)
    }

    /// Whether somebody published the group's evaluation of `at_ms`.
    async fn is_marked(&self, group: &str, at_ms: i64) -> bool {
        let matchers = vec![Matcher::equal(METRIC_NAME, MARK), Matcher::equal(GROUP, group)];
        let range = TimeRange { start: at_ms, end: at_ms };
        let select = Select { matchers, range, samples_max: 16 };
        self.store.select(select).await.is_ok_and(|set| !set.series.is_empty())
    }

    /// Appends samples of one time to the own stream, then the group's mark.
    pub(crate) fn publish(
        &self,
        group: &str,
        at_ms: i64,
        samples: &[(Labels, Cell)],
    ) -> Result<(), AppendError> {
        if !samples.is_empty() {
            self.append(at_ms, samples)?;
        }
        let mark = Labels::from_pairs([(METRIC_NAME, MARK), (GROUP, group), ("replica", &self.name)]);
        self.append(at_ms, &[(mark, Cell::Value(Number::from_f64(1.0)))])
    }

    fn append(&self, at_ms: i64, samples: &[(Labels, Cell)]) -> Result<(), AppendError> {
        let slot = |labels: &Labels| Slot::new(labels.clone(), Metadata::default());
        let slots = samples.iter().map(|(labels, _)| slot(labels)).collect();
        let cells: Vec<Cell> = samples.iter().map(|(_, cell)| *cell).collect();
        let layout = self.store.layout(Layout::new(Labels::empty(), slots)?)?;
        let outcome =
            Appender::append(&*self.store, Row { layout: &layout, timestamp: at_ms, cells: &cells })?;
        if let Some(series) = outcome.first_rejected {
            tracing::warn!(%series, at_ms, "samples of an evaluation were not taken: newer ones are there");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use env::{SeededRandom, SimulatedClock};
    use tsdb::StoreOptions;

    use super::*;

    #[tokio::test]
    async fn a_node_alone_writes_and_marks() {
        let dir = tempfile::tempdir().expect("a folder");
        let clock = SimulatedClock::at(1_700_000_000_000);
        let registry = telemetry::Registry::new();
        let store =
            Store::open(StoreOptions::new(dir.path(), "a"), clock, SeededRandom::shared(1), &registry)
                .expect("opened");
        let marks = Marks::new(store, "a".to_owned(), None);
        assert!(marks.must_publish("g", 1_700_000_000_000).await);
        assert!(!marks.is_marked("g", 1_700_000_000_000).await);
        let up = Labels::from_pairs([(METRIC_NAME, "up")]);
        marks.publish("g", 1_700_000_000_000, &[(up, Cell::Value(Number::from_f64(0.0)))]).expect("taken");
        assert!(marks.is_marked("g", 1_700_000_000_000).await);
        assert!(
            !marks.is_marked("g", 1_700_000_015_000).await && !marks.is_marked("h", 1_700_000_000_000).await
        );
    }
}
