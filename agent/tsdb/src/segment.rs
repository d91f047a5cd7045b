//! What a window has of a group: rows of one piece of memory or of one sealed part, in order of time, and where
//! their columns are.

use std::ops::Range;
use std::sync::Arc;

use storage::{ColumnSource, Summary, TimeRange};

use crate::columns::TileColumns;
use crate::run::At;
use crate::spill::SpillError;
use crate::window::SharedRows;

/// Rows with their columns.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) rows: Vec<At>,
    pub(crate) blocks: Vec<ColumnBlock>,
}

/// Columns that are read together.
#[derive(Debug)]
pub(crate) struct ColumnBlock {
    /// Positions among the slots that were asked for.
    pub(crate) slots: Range<usize>,
    /// One column a slot.
    pub(crate) source: Arc<dyn ColumnSource>,
    /// One a column, of all of the rows; or none.
    pub(crate) summaries: Vec<Summary>,
    /// Bytes that it holds.
    pub(crate) bytes: usize,
}

impl Segment {
    /// The rows that some slots, which are in order, have in a range; what is in a file is read now. Where only
    /// the `newest` numbers matter and a row has one of each slot, it is enough.
    pub(crate) fn of_rows(
        rows: &SharedRows,
        slots: &Arc<[u32]>,
        range: TimeRange,
        newest: bool,
    ) -> Result<Vec<Self>, SpillError> {
        let rows = rows.lock();
        let view = match newest.then(|| rows.newest(slots, range)).flatten() {
            Some(view) => view,
            None => rows.view(slots, range),
        };
        drop(rows);
        let mut segments = Vec::with_capacity(view.tiles.len() + view.open.len());
        for tile in view.tiles {
            let columns = TileColumns::new(tile.tile.columns(slots)?, tile.from, tile.rows.len());
            let bytes = columns.bytes();
            segments.push(Self::new(tile.rows, slots.len(), Arc::new(columns), bytes));
        }
        for open in view.open {
            let bytes = open.columns.bytes();
            segments.push(Self::new(open.rows, slots.len(), Arc::new(open.columns), bytes));
        }
        Ok(segments)
    }

    fn new(rows: Vec<At>, columns: usize, source: Arc<dyn ColumnSource>, bytes: usize) -> Self {
        let block = ColumnBlock { slots: 0..columns, source, summaries: Vec::new(), bytes };
        Self { rows, blocks: vec![block] }
    }

    /// First and last time.
    pub(crate) fn ends(&self) -> (i64, i64) {
        let time = |at: Option<&At>| at.map_or(i64::MIN, |at| at.timestamp);
        (time(self.rows.first()), time(self.rows.last()))
    }

    /// Whether no two rows have one time.
    pub(crate) fn is_strict(&self) -> bool {
        self.rows.windows(2).all(|pair| pair[0].timestamp < pair[1].timestamp)
    }
}
