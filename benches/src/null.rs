//! A store that takes everything and keeps nothing: what is measured is what comes before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use storage::{
    AppendError, AppendOutcome, Appender, Commit, CommitSender, Layout, LayoutRef, Row, commit_channel,
};

/// Takes rows, and counts their cells.
pub struct NullAppender {
    taken: AtomicU64,
    commit: Commit,
    _sender: CommitSender,
}

impl Default for NullAppender {
    fn default() -> Self {
        let sender = commit_channel();
        Self { taken: AtomicU64::new(0), commit: sender.commit(1), _sender: sender }
    }
}

impl NullAppender {
    /// Cells so far.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Appender for NullAppender {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), 0))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        self.taken.fetch_add(row.cells.len() as u64, Ordering::Relaxed);
        Ok(AppendOutcome {
            appended: row.cells.len(),
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.commit.clone(),
        })
    }
}
