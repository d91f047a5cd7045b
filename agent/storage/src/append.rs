//! Appending: rows of numbers, a whole scrape at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{Exemplar, Labels};
use tokio::sync::watch;

use crate::error::AppendError;
use crate::exemplar::ExemplarCounts;
use crate::layout::Layout;
use crate::number::Number;

/// A layout that an appender knows. Valid for the appender that gave it, until [`AppendError::Relayout`].
#[derive(Clone, Debug)]
pub struct LayoutRef {
    layout: Arc<Layout>,
    token: u64,
}

impl LayoutRef {
    /// For appenders: a reference with a token of their own choice.
    #[must_use]
    pub fn new(layout: Arc<Layout>, token: u64) -> Self {
        Self { layout, token }
    }

    /// The layout itself.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What the appender wrote into it.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }
}

/// One column's part of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cell {
    /// Nothing for this series at this time.
    Absent,
    /// A value.
    Value(Number),
    /// The series ends here.
    Stale,
}

/// All numbers of one layout at one time.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// What the cells mean.
    pub layout: &'a LayoutRef,
    /// Milliseconds since the Unix epoch, one for the whole row.
    pub timestamp: i64,
    /// One cell a slot, in the layout's order.
    pub cells: &'a [Cell],
}

/// Names a row that an appender took: whoever appends the next one may say what changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowMark {
    token: u64,
    number: u64,
}

impl RowMark {
    /// For appenders: a mark with numbers of their own choice.
    #[must_use]
    pub fn new(token: u64, number: u64) -> Self {
        Self { token, number }
    }
}

/// In which cells a row may differ from an earlier one.
#[derive(Clone, Copy, Debug)]
pub struct Changes<'a> {
    /// The earlier row.
    pub since: RowMark,
    /// A bit a slot, that of slot 0 the lowest of the first number: without it the cell is what it was. Some of
    /// those with one may be what they were, too.
    pub slots: &'a [u64],
}

impl Changes<'_> {
    /// The slots that may differ, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.slots.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(at * 64 + bit)
            })
        })
    }
}

/// What became of a row.
#[derive(Debug)]
pub struct AppendOutcome {
    /// Samples taken (stale markers among them).
    pub appended: usize,
    /// Samples older than their series' newest: dropped and counted, as Prometheus does.
    pub out_of_order: usize,
    /// Samples at their series' newest time with another value: dropped and counted.
    pub duplicates: usize,
    /// Samples too far in the future, or older than all that can be taken: dropped and counted.
    pub out_of_bounds: usize,
    /// Samples older than the out-of-order window, where there is one: dropped and counted.
    pub too_old: usize,
    /// The first series that lost a sample, for the log.
    pub first_rejected: Option<Labels>,
    /// Resolves when the row is in the log.
    pub commit: Commit,
}

/// Takes rows. Rows of one layout must come in order of time, unless late ones are taken.
pub trait Appender: Send + Sync {
    /// Makes a layout known; the same content gives the same reference.
    ///
    /// # Errors
    /// When the store cannot take it.
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError>;

    /// Appends a row. It can be queried at once, survives the process once
    /// [`Commit::written`] has resolved, and a power cut once [`Commit::durable`] has.
    ///
    /// # Errors
    /// [`AppendError::Relayout`] asks for the layout anew; others mean that nothing was taken.
    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError>;

    /// The same for one who knows what changed since the row with a mark that this gave: where that is still the
    /// layout's newest row, only those cells are looked at. Gives the row's own mark, where it can have one.
    ///
    /// # Errors
    /// As [`Appender::append`].
    fn append_changes(
        &self,
        row: Row<'_>,
        changes: Option<Changes<'_>>,
    ) -> Result<(AppendOutcome, Option<RowMark>), AppendError> {
        let _ = changes;
        Ok((self.append(row)?, None))
    }

    /// Whether samples are taken that are older than their series' newest, as far as they are not too old.
    fn takes_out_of_order(&self) -> bool {
        false
    }

    /// Takes exemplars of one series, each with its time, in order of time. What keeps none refuses all.
    fn append_exemplars(&self, series: &Labels, exemplars: &[Exemplar]) -> ExemplarCounts {
        let _ = series;
        ExemplarCounts { refused: exemplars.len(), ..ExemplarCounts::default() }
    }
}

/// How far a log has come, as its writer announces it.
#[derive(Clone, Debug, Default)]
struct Progress {
    written: u64,
    durable: u64,
    failed: Option<Arc<str>>,
    /// Positions that are never written, first and last, in order.
    lost: VecDeque<(u64, u64)>,
}

/// Stretches of lost positions that are remembered: whoever waited longer ago has had an answer.
const LOST_MAX: usize = 64;

/// Announces progress of a log to those who wait for their [`Commit`].
#[derive(Debug)]
pub struct CommitSender(watch::Sender<Progress>);

/// A place in a log that may not have reached the disk yet.
#[derive(Clone, Debug)]
pub struct Commit {
    position: u64,
    progress: watch::Receiver<Progress>,
}

/// A pair: the log's writer keeps the sender, everyone else gets commits from it.
#[must_use]
pub fn commit_channel() -> CommitSender {
    CommitSender(watch::channel(Progress::default()).0)
}

impl Progress {
    fn is_lost(&self, position: u64) -> bool {
        self.lost.iter().any(|&(first, last)| (first..=last).contains(&position))
    }
}

impl CommitSender {
    /// A commit for what will be written at `position` (positions only grow, the first is 1).
    #[must_use]
    pub fn commit(&self, position: u64) -> Commit {
        Commit { position, progress: self.0.subscribe() }
    }

    /// Everything up to `position` was handed to the operating system.
    pub fn written(&self, position: u64) {
        self.0.send_modify(|progress| progress.written = progress.written.max(position));
    }

    /// Everything up to `position` is on the disk.
    pub fn durable(&self, position: u64) {
        self.0.send_modify(|progress| {
            progress.durable = progress.durable.max(position);
            progress.written = progress.written.max(position);
        });
    }

    /// The log failed; waiting commits that are not written yet get this error until [`CommitSender::recovered`].
    pub fn failed(&self, why: &str) {
        self.0.send_modify(|progress| progress.failed = Some(why.into()));
    }

    /// What was to be at these positions is dropped: their commits fail, whatever is written later.
    pub fn lost(&self, first: u64, last: u64) {
        self.0.send_modify(|progress| match progress.lost.back_mut() {
            Some((_, end)) if *end + 1 == first => *end = last,
            _ => {
                progress.lost.push_back((first, last));
                if progress.lost.len() > LOST_MAX {
                    progress.lost.pop_front();
                }
            }
        });
    }

    /// The log works again.
    pub fn recovered(&self) {
        self.0.send_modify(|progress| progress.failed = None);
    }
}

impl Commit {
    /// Resolves once the bytes were handed to the operating system: they survive the process.
    ///
    /// # Errors
    /// When the log could not be written.
    pub async fn written(&mut self) -> Result<(), AppendError> {
        self.wait(|progress| progress.written).await
    }

    /// Resolves once the bytes are on the disk: they survive a power cut.
    ///
    /// # Errors
    /// When the log could not be written or synced.
    pub async fn durable(&mut self) -> Result<(), AppendError> {
        self.wait(|progress| progress.durable).await
    }

    async fn wait(&mut self, reached: impl Fn(&Progress) -> u64) -> Result<(), AppendError> {
        let position = self.position;
        let closed = |_| AppendError::Unavailable("the store has been closed".to_owned());
        let progress = self
            .progress
            .wait_for(|progress| {
                reached(progress) >= position || progress.failed.is_some() || progress.is_lost(position)
            })
            .await
            .map_err(closed)?;
        if progress.is_lost(position) {
            return Err(AppendError::Unavailable("the disk took nothing, and memory was full".to_owned()));
        }
        match &progress.failed {
            Some(why) if reached(&progress) < position => Err(AppendError::Unavailable(why.to_string())),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_commit_waits_for_its_own_position() {
        let sender = commit_channel();
        let (mut first, mut second) = (sender.commit(1), sender.commit(2));
        sender.written(1);
        first.written().await.expect("written");
        sender.failed("no space left");
        assert!(second.written().await.is_err());
        sender.recovered();
        sender.durable(2);
        second.durable().await.expect("durable");
        let (mut lost, mut later) = (sender.commit(3), sender.commit(4));
        sender.lost(3, 3);
        sender.durable(4);
        assert!(lost.written().await.is_err());
        later.durable().await.expect("durable");
    }

    #[test]
    fn changes_are_slots_in_order() {
        for slots in [&[][..], &[0, 0], &[1], &[1 << 63, 5], &[u64::MAX, 0, 1 << 7]] {
            let changes = Changes { since: RowMark::new(1, 1), slots };
            let naive = (0..slots.len() * 64).filter(|at| slots[at / 64] >> (at % 64) & 1 == 1);
            assert!(changes.iter().eq(naive), "{slots:?}");
        }
    }

    #[tokio::test]
    async fn a_closed_store_answers() {
        let mut commit = commit_channel().commit(1);
        assert!(commit.written().await.is_err());
    }
}
