//! Pushed starts: staged beside the rows of the samples that they came with, and appended after them.

use storage::{AppendError, Appender, Commit, Layout, StartColumns};

/// The starts of one layout's samples.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    columns: StartColumns,
    /// Time, column and start, as they came.
    staged: Vec<(i64, u32, i64)>,
}

impl Starts {
    pub(crate) fn stage(&mut self, timestamp: i64, slot: u16, start: i64) {
        self.staged.push((timestamp, slot.into(), start));
    }

    pub(crate) fn forget_staged(&mut self) {
        self.staged.clear();
    }

    /// Appends what is staged, a row for each time; gives the last one's way to the disk.
    ///
    /// # Errors
    /// When the store cannot take data now.
    pub(crate) fn append(
        &mut self,
        appender: &dyn Appender,
        samples: &Layout,
    ) -> Result<Option<Commit>, AppendError> {
        let (mut staged, mut commit) = (std::mem::take(&mut self.staged), None);
        staged.sort_by_key(|(timestamp, slot, _)| (*timestamp, *slot));
        for row in staged.chunk_by(|one, other| one.0 == other.0) {
            let starts: Vec<(u32, i64)> = row.iter().map(|(_, slot, start)| (*slot, *start)).collect();
            let Some((timestamp, ..)) = row.first() else { continue };
            let outcome = self.columns.append(appender, samples, *timestamp, &starts)?;
            commit = outcome.map(|outcome| outcome.commit).or(commit);
        }
        staged.clear();
        self.staged = staged;
        Ok(commit)
    }
}
