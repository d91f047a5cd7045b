//! From a page's lines to rows: one for each layout and time.

use storage::Cell;

use crate::page::Place;

/// Where the samples of a page's lines go.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    /// All to one layout, whose slots are the lines in order.
    InOrder,
    /// One for each line.
    Listed(Vec<Place>),
}

impl Places {
    /// `layouts`: how many the page has.
    pub(crate) fn new(places: Vec<Place>, layouts: usize) -> Self {
        let own = |(line, place): (usize, &Place)| *place == Self::in_order(line);
        if layouts == 1 && places.iter().enumerate().all(own) { Self::InOrder } else { Self::Listed(places) }
    }

    /// Bytes of the list.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::InOrder => 0,
            Self::Listed(places) => size_of_val(&places[..]),
        }
    }

    /// The place of a line.
    pub(crate) fn of(&self, line: usize) -> Place {
        match self {
            Self::InOrder => Self::in_order(line),
            Self::Listed(places) => places[line],
        }
    }

    /// All of them, to be changed.
    pub(crate) fn listed(&mut self, lines: usize) -> &mut [Place] {
        if matches!(self, Self::InOrder) {
            *self = Self::Listed((0..lines).map(Self::in_order).collect());
        }
        match self {
            Self::Listed(places) => places,
            Self::InOrder => &mut [],
        }
    }

    fn in_order(line: usize) -> Place {
        #[allow(clippy::cast_possible_truncation, reason = "a layout has at most 2^20 slots")]
        let slot = line as u32;
        Place::At(0, slot)
    }
}

/// A row before the store sees it.
#[derive(Debug)]
pub(crate) struct RowDraft {
    pub(crate) layout: usize,
    pub(crate) timestamp: i64,
    pub(crate) cells: Vec<Cell>,
}

/// The rows of a page in order of layout and time. Of two values for one series and time the first counts;
/// `twice` hears of the second where it differs.
pub(crate) fn assemble(
    samples: impl Iterator<Item = (Place, Cell, Option<i64>)>,
    widths: &[usize],
    timestamp: i64,
    mut twice: impl FnMut(usize, usize),
) -> Vec<RowDraft> {
    let mut put = |row: &mut RowDraft, slot: u32, new: Cell| {
        let slot = slot as usize;
        match &mut row.cells[slot] {
            cell @ Cell::Absent => *cell = new,
            cell if *cell != new => twice(row.layout, slot),
            _ => {}
        }
    };
    let empty =
        |layout: usize, timestamp| RowDraft { layout, timestamp, cells: vec![Cell::Absent; widths[layout]] };
    let mut rows: Vec<Option<RowDraft>> = widths.iter().map(|_| None).collect();
    let mut timed = Vec::new();
    for (place, cell, own) in samples {
        let Place::At(layout, slot) = place else { continue };
        let at = layout as usize;
        match own {
            None => put(rows[at].get_or_insert_with(|| empty(at, timestamp)), slot, cell),
            Some(time) => timed.push((at, time, slot, cell)),
        }
    }
    let mut rows: Vec<RowDraft> = rows.into_iter().flatten().collect();
    // Stable: lines of one time stay in the page's order.
    timed.sort_by_key(|(layout, time, ..)| (*layout, *time));
    for (layout, time, slot, cell) in timed {
        let same = rows.last().is_some_and(|row| (row.layout, row.timestamp) == (layout, time));
        if !same {
            rows.push(empty(layout, time));
        }
        if let Some(row) = rows.last_mut() {
            put(row, slot, cell);
        }
    }
    rows.sort_by_key(|row| (row.layout, row.timestamp));
    rows
}
