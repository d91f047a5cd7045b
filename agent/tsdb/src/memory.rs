//! The memory budget: what each part takes up, and what is given up as it fills. First caches; then rows of the
//! head become tiles early and go to the file; at last no new series is begun. Those that are there go on.

use std::collections::HashSet;
use std::mem::size_of;
use std::sync::Arc;

use env::Resident;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{AppendError, Layout, Slot};
use telemetry::{Counter, Family, Gauge, LabelPairs, Registry};

use crate::run::OPEN_ROWS;
use crate::state::State;
use crate::store::{Inner, Store};
use crate::tiling::{self, TILE_ROWS};
use crate::window::SharedRows;

/// About how much a new series takes up where others have its name and labels, and the names and labels of one.
const SERIES_BYTES: u64 = 200;
const NAMES_BYTES: u64 = 300;
/// Layouts of so few columns are taken up to a tenth beyond the limit: they tell how scrapes and rules fare.
const SMALL: usize = 16;
/// A part of the caches stays: queries would read each block for each column.
const CACHE_PART: usize = 8;

/// How far the budget is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MemoryLevel {
    #[default]
    Ample,
    /// From four fifths on caches are small.
    Caches,
    /// From nine tenths on rows become tiles early.
    Rows,
    /// No new series is begun.
    Full,
}

impl MemoryLevel {
    fn of(used: u64, max: u64) -> Self {
        let tenths = |n: u64| max / 10 * n;
        match used {
            _ if max == 0 || used < tenths(8) => Self::Ample,
            _ if used < tenths(9) => Self::Caches,
            _ if used < max => Self::Rows,
            _ => Self::Full,
        }
    }
}

/// Bytes that a part outside of the store takes up.
type Other = (&'static str, Box<dyn Fn() -> u64 + Send + Sync>);

/// The budget of one store.
#[derive(Default)]
pub(crate) struct Memory {
    others: RwLock<Vec<Other>>,
    used: Mutex<Used>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    /// At the last count, and what was begun since, about.
    bytes: u64,
    level: MemoryLevel,
}

/// Bytes of the head's rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowBytes {
    /// Last rows, and those that are kept as changes.
    pub(crate) rows: u64,
    /// Tiles in memory, and where those in the file are.
    pub(crate) tiles: u64,
}

pub(crate) use env::allocated;

/// What a shared slice of so many bytes takes up.
pub(crate) fn shared(bytes: usize) -> u64 {
    allocated(bytes + 2 * size_of::<usize>())
}

/// What the labels' own list takes up; their texts are elsewhere.
pub(crate) fn list(labels: &Labels) -> u64 {
    shared(labels.len() * size_of::<model::Label>())
}

impl Store {
    /// Counts what a part outside of the store takes up in the store's budget.
    pub fn count_memory(&self, part: &'static str, bytes: impl Fn() -> u64 + Send + Sync + 'static) {
        self.inner.memory.others.write().push((part, Box::new(bytes)));
    }

    /// Bytes of each part of the budget, as far as they are known.
    #[must_use]
    pub fn memory_parts(&self) -> Vec<(&'static str, u64)> {
        self.inner.memory_parts()
    }
}

impl Inner {
    /// Counts what there is, and gives up what the budget asks for.
    pub(crate) fn watch_memory(&self) {
        let parts = self.memory_parts();
        let max = self.options.memory_max;
        let bytes = parts.iter().map(|(_, bytes)| bytes).sum();
        let level = MemoryLevel::of(bytes, max);
        let before = std::mem::replace(&mut *self.memory.used.lock(), Used { bytes, level }).level;
        self.metrics.memory.show(&parts, max, level);
        if level > before {
            tracing::warn!(used = bytes, max, ?level, "the memory budget is nearly used up");
        } else if level < before {
            tracing::info!(used = bytes, max, ?level, "the memory budget has room again");
        }
        if (level == MemoryLevel::Ample) != (before == MemoryLevel::Ample)
            && let Some(store) = self.vault.get()
        {
            let whole = self.options.sealed_memory;
            store.limit_cache(if level == MemoryLevel::Ample { whole } else { whole / CACHE_PART });
        }
        if level >= MemoryLevel::Caches {
            self.files.forget_all();
        }
        if level >= MemoryLevel::Rows {
            self.tile_early();
        }
    }

    /// Turns half as many open rows into tiles, and these into the file, as usual.
    fn tile_early(&self) {
        for rows in self.head_rows() {
            let due = rows.lock().hand_over(OPEN_ROWS / 2);
            if due {
                tiling::make_tiles_of(&rows, TILE_ROWS / 2);
                self.metrics.memory.tiled_early.inc();
            }
        }
    }

    fn head_rows(&self) -> Vec<SharedRows> {
        let state = self.state.read();
        let leaving = state.head.leaving.values().map(|leaving| &leaving.window);
        let windows = state.head.windows.values().chain(leaving);
        windows.flat_map(|window| window.groups.values().map(Arc::clone)).collect()
    }

    /// Refuses a layout with new series where the budget is used up; what is taken is counted until the next count.
    pub(crate) fn admit(&self, state: &State, layout: &Layout) -> Result<(), AppendError> {
        let max = self.options.memory_max;
        if max == 0 || state.layouts.has(layout.id()) {
            return Ok(());
        }
        let columns = layout.slots().len();
        let each = SERIES_BYTES + if state.layouts.knows_shape(layout) { 0 } else { NAMES_BYTES };
        let more = each * columns as u64;
        let mut used = self.memory.used.lock();
        let allowed = if columns <= SMALL { max.saturating_add(max / 10) } else { max };
        if used.bytes.saturating_add(more) > allowed {
            let new = state.head.new_series(layout);
            if new > 0 {
                self.metrics.memory.refused.inc_by(new as u64);
                return Err(AppendError::Memory { new, used: used.bytes, max });
            }
        }
        used.bytes = used.bytes.saturating_add(more);
        Ok(())
    }

    /// Takes note of a layout of others' frames, which are never refused: their senders would keep what is
    /// refused and send it again for ever.
    pub(crate) fn note_received(&self, layout: &Layout) {
        if self.memory.used.lock().level == MemoryLevel::Full {
            self.metrics.memory.taken_over.inc_by(layout.series_count() as u64);
        }
    }

    fn memory_parts(&self) -> Vec<(&'static str, u64)> {
        let mut rows = RowBytes::default();
        for group in self.head_rows() {
            let bytes = group.lock().bytes();
            (rows.rows, rows.tiles) = (rows.rows + bytes.rows, rows.tiles + bytes.tiles);
        }
        let log = self.writer.lock().log.waiting_bytes() as u64;
        let (identity, frames, waiting) = {
            let state = self.state.read();
            (
                state.layouts.bytes() + state.head.bytes() + state.own.bytes(),
                state.frame_bytes(),
                state.waiting() as u64,
            )
        };
        let mut parts = vec![
            ("rows", rows.rows),
            ("tiles", rows.tiles),
            ("identity", identity),
            ("frames", frames),
            ("waiting", waiting + log),
            ("exemplars", self.exemplars.lock().bytes() as u64),
            ("sealed", self.vault.memory() + self.files.bytes()),
        ];
        for (part, bytes) in self.memory.others.read().iter() {
            parts.push((part, bytes()));
        }
        parts
    }
}

impl crate::head::Head {
    /// How many of a layout's series no group of its target has.
    fn new_series(&self, layout: &Layout) -> usize {
        let known = self.knows(layout);
        let begins = |slot: &Slot| slot.begins_series() && !slot.is_start();
        layout.slots().iter().zip(known).filter(|(slot, known)| begins(slot) && !known).count()
    }

    /// For each slot of a layout whether an own group of its target has the series.
    pub(crate) fn knows(&self, layout: &Layout) -> Vec<bool> {
        let target = layout.target();
        let groups = self.groups().filter(|group| group.is_own() && group.layout.target() == target);
        let known: HashSet<&Labels> =
            groups.flat_map(|group| group.layout.slots()).map(|slot| &slot.labels).collect();
        layout.slots().iter().map(|slot| known.contains(&slot.labels)).collect()
    }
}

/// What is said of the budget.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryMetrics {
    parts: Family<LabelPairs, Gauge>,
    max: Gauge,
    level: Gauge,
    refused: Counter,
    tiled_early: Counter,
    taken_over: Counter,
    unaccounted: Gauge,
}

impl MemoryMetrics {
    pub(crate) fn register(&self, registry: &Registry) {
        let parts = "Bytes in memory by part; together they are what the process has, less vedette_memory_unaccounted_bytes.";
        registry.register("vedette_memory_part_bytes", parts, self.parts.clone());
        let max = "Bytes that all parts may have before no new series is begun; 0: no limit.";
        registry.register("vedette_memory_limit_bytes", max, self.max.clone());
        let level = "How far the memory budget is used up: 0 ample, 1 caches are small, 2 rows become tiles early, \
                     3 no new series is begun.";
        registry.register("vedette_memory_level", level, self.level.clone());
        let refused = "New series that were refused because the memory budget was used up, each time.";
        registry.register("vedette_memory_refused_series", refused, self.refused.clone());
        let tiled =
            "Times that rows of a target became tiles early because the memory budget was nearly used up.";
        registry.register("vedette_memory_early_tiles", tiled, self.tiled_early.clone());
        let taken = "Series in layouts of frames that were taken although the memory budget was used up: frames are \
                     never refused.";
        registry.register("vedette_memory_received_series_over_limit", taken, self.taken_over.clone());
        let unaccounted =
            "Bytes that the kernel says are resident beyond all parts; below zero where parts overlap.";
        registry.register("vedette_memory_unaccounted_bytes", unaccounted, self.unaccounted.clone());
    }

    fn show(&self, parts: &[(&'static str, u64)], max: u64, level: MemoryLevel) {
        for (part, bytes) in parts {
            let labels = vec![("part".to_owned(), (*part).to_owned())];
            self.parts.get_or_create(&labels).set(i64::try_from(*bytes).unwrap_or(i64::MAX));
        }
        if let Some(Resident { anonymous, mapped }) = env::resident() {
            let all: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
            let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
            self.unaccounted.set(signed(anonymous + mapped) - signed(all));
        }
        self.max.set(i64::try_from(max).unwrap_or(i64::MAX));
        self.level.set(level as i64);
    }
}
