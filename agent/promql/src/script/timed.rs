//! Series that come into a store as time goes on, as Prometheus's unit tests of rules load them.

use std::collections::VecDeque;

use model::{AnySample, Labels};

use super::load::samples;
use super::{MemoryStore, ScriptError, parse_series_line};

/// Samples that wait for their time, in its order.
#[derive(Debug, Default)]
pub struct TimedLoad {
    waiting: VecDeque<(i64, Labels, AnySample)>,
}

impl TimedLoad {
    /// Lines of series notation, one value each `interval_ms` from `start_ms`, both in milliseconds.
    ///
    /// # Errors
    /// When a line is no series notation.
    pub fn new<'l>(
        start_ms: i64,
        interval_ms: i64,
        lines: impl IntoIterator<Item = &'l str>,
    ) -> Result<Self, ScriptError> {
        let time = |at: usize| {
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            start_ms.saturating_add(at.saturating_mul(interval_ms))
        };
        let mut waiting = Vec::new();
        for line in lines {
            let line = parse_series_line(line)?;
            let found = samples(&line, &time).into_iter();
            waiting.extend(found.map(|sample| (sample.timestamp(), line.labels.clone(), sample)));
        }
        // Of two for one series and time the first stays: the sort is stable.
        waiting.sort_by_key(|(time, ..)| *time);
        Ok(Self { waiting: waiting.into() })
    }

    /// Adds to the store whatever is not later than `until_ms`.
    pub fn load_until(&mut self, store: &MemoryStore, until_ms: i64) {
        while let Some((_, labels, sample)) = self.waiting.pop_front_if(|(time, ..)| *time <= until_ms) {
            store.append_newer(&labels, sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;
    use storage::{Querier as _, Select, TimeRange};

    use super::*;

    #[tokio::test]
    async fn samples_come_at_their_time() {
        let store = MemoryStore::new();
        let lines = ["a 1 2 3", "a 9 9", "b {{count:1}}x1"];
        let mut load = TimedLoad::new(500, 1000, lines).expect("lines");
        let select = || Select {
            matchers: vec![model::Matcher::new("__name__", MatchOp::Regex, "a|b").expect("a matcher")],
            range: TimeRange::ALL,
            samples_max: 100,
        };
        load.load_until(&store, 499);
        assert!(store.select(select()).await.expect("an answer").series.is_empty());
        load.load_until(&store, 1500);
        let set = store.select(select()).await.expect("an answer");
        let values: Vec<f64> = set.series[0].samples.iter().map(|sample| sample.value).collect();
        assert_eq!(values, [1.0, 2.0], "the first of two stays");
        assert_eq!(set.histograms[0].samples.len(), 2);
    }
}
