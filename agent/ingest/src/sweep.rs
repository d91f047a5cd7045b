//! Housekeeping: series that came no more are forgotten, and layouts are kept full.
//!
//! Churn must not let layouts grow in number or in unused columns for ever. A series without a sample
//! for [`IDLE`] is forgotten. A layout is given up, and its series stand in new ones from then on, when
//! at most half of its columns are in use, and when it is less than half full and its origin has others
//! like it. So every origin has at most about twice the columns that its series need, and a series moves
//! a handful of times in its life. What the store keeps of a layout given up is the store's to forget.

use std::collections::HashMap;

use model::{Labels, Metadata};

use crate::layouts::SLOTS;
use crate::rows::Rows;
use crate::table::SeriesId;

/// Seconds without a sample after which a series is forgotten.
const IDLE: u32 = 60 * 60;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Series that were forgotten.
    pub(crate) forgotten: usize,
    /// Layouts that were given up.
    pub(crate) dissolved: usize,
}

impl Rows {
    /// Forgets and tidies; between requests.
    pub(crate) fn sweep(&mut self, now: u32) -> Swept {
        self.now = now;
        let mut swept = Swept { forgotten: self.histograms.forget(now, IDLE), ..Swept::default() };
        let mut small: HashMap<Labels, Vec<u32>> = HashMap::new();
        let mut sparse = Vec::new();
        let layouts: Vec<u32> = self.groups.iter().map(|(at, _)| at).collect();
        for at in layouts {
            let (gone, columns) = self.idle_members(at);
            for id in gone {
                self.table.remove(id);
                swept.forgotten += 1;
            }
            let Some(group) = self.groups.get(at) else { continue };
            if columns == 0 || columns * 2 <= group.slots().len() {
                sparse.push(at);
            } else if columns < SLOTS / 2 {
                small.entry(group.target().clone()).or_default().push(at);
            }
        }
        let joined = small.into_values().filter(|layouts| layouts.len() > 1).flatten();
        for at in sparse.into_iter().chain(joined) {
            self.dissolve(at);
            swept.dissolved += 1;
        }
        self.groups.close_drafts();
        swept
    }

    /// The series of a layout that are idle, and how many columns the others use.
    fn idle_members(&mut self, at: u32) -> (Vec<SeriesId>, usize) {
        let (table, now) = (&self.table, self.now);
        let Some(group) = self.groups.get_mut(at) else { return (Vec::new(), 0) };
        let mut gone = Vec::new();
        let mut used = [false; SLOTS];
        group.members.retain(|&(id, slot)| {
            let known = table.get(id);
            if known.layout != at || known.slot != slot {
                return false;
            }
            let idle = now.saturating_sub(known.seen) >= IDLE;
            if idle {
                gone.push(id);
            } else if let Some(used) = used.get_mut(usize::from(slot)) {
                *used = true;
            }
            !idle
        });
        (gone, used.iter().filter(|used| **used).count())
    }

    /// Gives a layout up: its series get columns in new ones.
    fn dissolve(&mut self, at: u32) {
        let Some(group) = self.groups.remove(at) else { return };
        for &(id, slot) in &group.members {
            let metadata = group.slots().get(usize::from(slot)).map(|slot| Metadata::clone(&slot.metadata));
            self.place(id, &group.labels(slot), metadata.unwrap_or_default());
        }
    }
}
