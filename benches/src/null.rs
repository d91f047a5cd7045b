//! A store that takes everything and keeps nothing: what is measured is what comes before it.

use std::sync::Arc;

use storage::{
    AppendError, AppendOutcome, Appender, Commit, CommitSender, Layout, LayoutRef, Row, commit_channel,
};

/// Takes rows.
pub struct NullAppender {
    commit: Commit,
    _sender: CommitSender,
}

impl Default for NullAppender {
    fn default() -> Self {
        let sender = commit_channel();
        Self { commit: sender.commit(1), _sender: sender }
    }
}

impl Appender for NullAppender {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), 0))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        Ok(AppendOutcome {
            appended: row.cells.len(),
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            first_rejected: None,
            commit: self.commit.clone(),
        })
    }
}
