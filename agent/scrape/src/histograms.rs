//! A target's native histograms from scrape to scrape: each series has columns of its own.

use std::collections::HashMap;

use model::histogram::AnyHistogram;
use model::{Exemplar, Labels};
use storage::{AppendError, HistogramColumns};

use crate::protobuf_page::{Named, Observed};
use crate::sink::{Losses, Sink};

/// The histograms that a target has.
#[derive(Debug, Default)]
pub(crate) struct Histograms {
    series: HashMap<Labels, Known>,
    /// Counts pages.
    page: u64,
}

#[derive(Debug)]
struct Known {
    columns: HistogramColumns,
    /// The last page that it was on.
    page: u64,
    tracked: bool,
}

impl Histograms {
    /// Appends a page's histograms, and markers for those that the last one had and this has not. Gives how
    /// many are new.
    pub(crate) fn write(
        &mut self,
        target: &Labels,
        (observed, named): (&[Observed], &[Named]),
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<usize, AppendError> {
        self.page += 1;
        let (page, mut added) = (self.page, 0_usize);
        for (observed, named) in observed.iter().zip(named) {
            let Some(labels) = &named.labels else { continue };
            let known = self.series.entry(labels.clone()).or_insert_with(|| {
                added += 1;
                Known::new(target, labels, named)
            });
            (known.page, known.tracked) = (page, named.tracked);
            let timestamp = observed.timestamp.unwrap_or(timestamp);
            match known.append(timestamp, &observed.histogram, sink, losses) {
                // It was not begun: the others go on, and the next page asks again.
                Err(AppendError::Memory { .. }) => {
                    self.series.remove(labels);
                    added = added.saturating_sub(1);
                    sink.metrics.over_memory.inc();
                    continue;
                }
                written => written?,
            }
            if !observed.exemplars.is_empty() {
                sink.append_exemplars(labels, &sorted(&observed.exemplars));
            }
        }
        self.end_others(timestamp, sink, losses)?;
        Ok(added)
    }

    /// Appends markers for all: the target is down, gone, or has other series now.
    pub(crate) fn end(
        &mut self,
        timestamp: i64,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        if self.series.is_empty() {
            return Ok(());
        }
        self.page += 1;
        self.end_others(timestamp, sink, losses)
    }

    /// Appends markers for those that are not on the page at hand, and forgets them.
    fn end_others(&mut self, timestamp: i64, sink: &Sink, losses: &mut Losses) -> Result<(), AppendError> {
        let page = self.page;
        let mut failed = Ok(());
        self.series.retain(|_, known| {
            if known.page == page || failed.is_err() {
                return true;
            }
            if known.tracked {
                failed = known.end(timestamp, sink, losses);
            }
            failed.is_err()
        });
        failed
    }
}

impl Known {
    fn new(target: &Labels, labels: &Labels, named: &Named) -> Self {
        let target = target.filtered(|name| labels.get(name) == target.get(name));
        let own = labels.filtered(|name| !target.has(name));
        let columns = HistogramColumns::new(target, own, named.metadata.clone());
        Self { columns, page: 0, tracked: named.tracked }
    }

    fn append(
        &mut self,
        timestamp: i64,
        histogram: &AnyHistogram,
        sink: &Sink,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        sink.count(self.columns.append(&*sink.appender, timestamp, histogram), losses)
    }

    fn end(&mut self, timestamp: i64, sink: &Sink, losses: &mut Losses) -> Result<(), AppendError> {
        match self.columns.end(&*sink.appender, timestamp).transpose() {
            Some(outcome) => sink.count(outcome, losses),
            None => Ok(()),
        }
    }
}

/// Exemplars in the order in which a store takes them: a histogram has them by bucket.
fn sorted(exemplars: &[Exemplar]) -> Vec<Exemplar> {
    let mut sorted = exemplars.to_vec();
    sorted.sort_by(|a, b| {
        a.timestamp
            .cmp(&b.timestamp)
            .then_with(|| a.value.total_cmp(&b.value))
            .then_with(|| a.labels.cmp(&b.labels))
    });
    sorted
}
