//! Appending rows, and what is counted and logged when some are not taken.

use std::sync::Arc;

use model::{Exemplar, Labels};
use storage::{AppendError, AppendOutcome, Appender, Cell, Changes, Commit, Layout, LayoutRef, Row, RowMark};
use tokio::sync::mpsc;

use crate::metrics::Metrics;

/// The store as scrape loops see it.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) appender: Arc<dyn Appender>,
    pub(crate) metrics: Metrics,
    /// Commits that somebody waits for in the background.
    pub(crate) commits: mpsc::Sender<Commit>,
}

/// What one scrape's rows met.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    out_of_order: usize,
    duplicates: usize,
    out_of_bounds: usize,
    first: Option<Labels>,
    commit: Option<Commit>,
}

impl Sink {
    /// Appends a row; a layout that the store has forgotten is made known again.
    pub(crate) fn append(
        &self,
        layout: &mut LayoutRef,
        timestamp: i64,
        cells: &[Cell],
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        self.append_changes(layout, timestamp, cells, None, losses).map(drop)
    }

    /// The same for cells of which it is known where they may differ from the row with a mark that this gave.
    pub(crate) fn append_changes(
        &self,
        layout: &mut LayoutRef,
        timestamp: i64,
        cells: &[Cell],
        changes: Option<Changes<'_>>,
        losses: &mut Losses,
    ) -> Result<Option<RowMark>, AppendError> {
        let mut outcome = self.appender.append_changes(Row { layout, timestamp, cells }, changes);
        if matches!(outcome, Err(AppendError::Relayout)) {
            *layout = self.appender.layout(Layout::clone(layout.layout()))?;
            outcome = self.appender.append_changes(Row { layout, timestamp, cells }, None);
        }
        let (outcome, mark) = match outcome {
            Ok((outcome, mark)) => (Ok(outcome), mark),
            Err(error) => (Err(error), None),
        };
        self.count(outcome, losses).map(|()| mark)
    }

    /// Counts what became of a row.
    pub(crate) fn count(
        &self,
        outcome: Result<AppendOutcome, AppendError>,
        losses: &mut Losses,
    ) -> Result<(), AppendError> {
        match outcome {
            Ok(outcome) => losses.add(outcome),
            Err(error) => {
                self.metrics.append_failures.inc();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Appends a series' exemplars, in order of time.
    pub(crate) fn append_exemplars(&self, series: &Labels, exemplars: &[Exemplar]) {
        let counts = self.appender.append_exemplars(series, exemplars);
        self.metrics.exemplars_out_of_order.inc_by(counts.out_of_order as u64);
    }

    /// Counts what was lost, and has the rows' way to the disk watched.
    pub(crate) fn settle(&self, url: &str, losses: Losses) {
        for (count, counter, what) in [
            (losses.out_of_order, &self.metrics.out_of_order, "out of order"),
            (losses.duplicates, &self.metrics.duplicates, "of a timestamp that has another value"),
            (losses.out_of_bounds, &self.metrics.out_of_bounds, "too far in the future"),
        ] {
            if count > 0 {
                counter.inc_by(count as u64);
                let series = losses.first.as_ref().map(ToString::to_string).unwrap_or_default();
                tracing::warn!(target_url = url, count, %series, "samples dropped: {what}");
            }
        }
        if let Some(commit) = losses.commit {
            // When many are waiting already, they tell of the same trouble.
            let _ = self.commits.try_send(commit);
        }
    }

    /// Waits for commits one after the other; failures are logged and counted.
    pub(crate) async fn watch(metrics: Metrics, mut commits: mpsc::Receiver<Commit>) {
        while let Some(mut commit) = commits.recv().await {
            if let Err(error) = commit.written().await {
                metrics.commit_failures.inc();
                tracing::error!(%error, "scraped samples did not reach the log");
            }
        }
    }
}

impl Losses {
    /// Adds what one row met.
    pub(crate) fn add(&mut self, outcome: AppendOutcome) {
        self.out_of_order += outcome.out_of_order + outcome.too_old;
        self.duplicates += outcome.duplicates;
        self.out_of_bounds += outcome.out_of_bounds;
        self.first = self.first.take().or(outcome.first_rejected);
        self.commit = Some(outcome.commit);
    }

    /// A sample whose time has another value on the same page.
    pub(crate) fn duplicate(&mut self, series: impl FnOnce() -> Labels) {
        self.duplicates += 1;
        self.first.get_or_insert_with(series);
    }
}
