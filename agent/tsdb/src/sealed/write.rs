//! Sealing one window, or the windows of a day as one: the groups, one after the other, are turned from rows into blocks in one file, which is
//! then ingested. Memory holds one group's columns, 64 at a time, and never a window.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::SstFileWriter;
use storage::{Cell, TimeRange};

use super::day::{Day, window_in_day};
use super::error::SealedError;
use super::identity::{name_of, name_of_index};
use super::index::{Entry, Index, put_rows, put_tails, read_rows, read_tails};
use super::keys::{BlockKey, DAY, TAILS, TIMES};
use super::manifest::Generation;
use super::store::SealedStore;
use crate::codec::{Block, BlockBuilder, BlockReader};
use crate::group::Group;
use crate::rows::Tail;
use crate::run::At;
use crate::spill::Sealed;
use crate::window::{DAY_MS, SharedRows, WINDOW_MS};

/// Rows of a block, at most: a group of more has several parts.
pub(super) const PART_ROWS: usize = 8_192;

/// What a group has to be sealed.
pub(crate) struct GroupInput {
    pub(crate) group: Arc<Group>,
    pub(crate) rows: SharedRows,
    /// Rows that others may still build on, once these are sealed.
    pub(crate) tails: Vec<Tail>,
}

/// One sealing.
pub(crate) struct Sealing<'a> {
    pub(crate) store: &'a SealedStore,
    /// Start of the window, or of the day.
    pub(crate) start: i64,
    /// Whether what is written is a day.
    pub(crate) is_day: bool,
    /// Generations that become one with what is new, each with the start of its window; of one window in order of
    /// number, a day first.
    pub(crate) fold: Vec<(i64, Arc<Generation>)>,
    /// The group of a number.
    pub(crate) resolve: &'a dyn Fn(u32) -> Result<Arc<Group>, SealedError>,
    /// Whether the store is being closed; asked before each block.
    pub(crate) stopped: &'a dyn Fn() -> bool,
    /// What is damaged in the generations is left out; else it is an error.
    pub(crate) salvage: bool,
    /// Done when the file is written and before it is taken in.
    pub(crate) written: &'a dyn Fn() -> Result<(), SealedError>,
}

/// A group on its way into the file.
#[derive(Default)]
struct Job {
    /// Where it has something new.
    group: Option<Arc<Group>>,
    rows: Option<SharedRows>,
    tails: Option<Vec<Tail>>,
    old: Vec<Old>,
}

/// What a generation has of a group.
pub(super) struct Old {
    /// Start of the generation's window.
    pub(super) start: i64,
    pub(super) generation: Arc<Generation>,
    pub(super) entry: Entry,
}

/// Some rows, and where their cells are.
struct Piece {
    rows: Vec<At>,
    cells: Cells,
}

enum Cells {
    Tile(Arc<Sealed>),
    /// Under such keys, of each group and sub-block.
    Block(BlockKey),
}

/// A row's time and sequence, its piece, and its place there.
pub(super) type Row = (i64, (u64, u32), u32, u32);

/// A row's place in the block, and in its piece.
type Move = (u32, u32);

impl Sealing<'_> {
    /// Writes a generation of these groups, and ingests it; none where there is no row.
    pub(crate) fn write(&self, groups: Vec<GroupInput>) -> Result<Option<Generation>, SealedError> {
        let jobs = self.jobs(groups)?;
        let number = self.store.new_generation() | if self.is_day { DAY } else { 0 };
        let file = self.store.staging.join(format!("{number:08}.sst"));
        let written = self.write_file(number, jobs, &file);
        let ingested = match written {
            Ok(Some(generation)) => {
                (self.written)().and_then(|()| self.store.ingest(&file)).map(|()| Some(generation))
            }
            other => other,
        };
        let _ = std::fs::remove_file(&file);
        ingested
    }

    /// The groups by number, with what earlier generations have of them.
    fn jobs(&self, groups: Vec<GroupInput>) -> Result<BTreeMap<u32, Job>, SealedError> {
        let names: Vec<_> = groups.iter().map(|input| Arc::clone(&input.group)).collect();
        let numbers = self.store.numbers(&names)?;
        let job = |input: GroupInput| Job {
            group: Some(input.group),
            rows: Some(input.rows),
            tails: Some(input.tails),
            old: Vec::new(),
        };
        let mut jobs: BTreeMap<u32, Job> = numbers.into_iter().zip(groups.into_iter().map(job)).collect();
        for (start, generation) in &self.fold {
            let Some(index) = self.whole(self.store.index(*start, generation))? else { continue };
            for entry in &index.0 {
                let job = match jobs.entry(entry.group) {
                    std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => {
                        // With damage to be left out, a group that cannot be told goes before anything is written.
                        if self.salvage && self.whole((self.resolve)(entry.group))?.is_none() {
                            continue;
                        }
                        new.insert(Job::default())
                    }
                };
                job.old.push(Old { start: *start, generation: Arc::clone(generation), entry: *entry });
            }
        }
        Ok(jobs)
    }

    fn write_file(
        &self,
        number: u32,
        jobs: BTreeMap<u32, Job>,
        path: &std::path::Path,
    ) -> Result<Option<Generation>, SealedError> {
        let sst = SstFileWriter::create(&self.store.file_options);
        sst.open(path)?;
        let mut file = File {
            sst,
            key: BlockKey::first(self.start, number),
            builder: BlockBuilder::new()?,
            reader: BlockReader::new()?,
            generation: Generation { number, ..Generation::default() },
        };
        let mut index = Index::default();
        for (number, job) in jobs {
            if (self.stopped)() {
                return Err(SealedError::Stopped);
            }
            index.0.extend(self.put_group(&mut file, number, job)?);
        }
        if index.0.is_empty() {
            return Ok(None);
        }
        let key = BlockKey::index(self.start, file.generation.number);
        file.put(&key, name_of_index(&key), &index.put(self.start, self.is_day))?;
        file.sst.finish()?;
        file.generation.bytes = file.sst.file_size();
        file.generation.index = Mutex::new(Some(Arc::new(index)));
        Ok(Some(file.generation))
    }

    fn put_group(&self, file: &mut File<'_>, number: u32, job: Job) -> Result<Option<Entry>, SealedError> {
        let group = &match &job.group {
            Some(group) => Arc::clone(group),
            None => (self.resolve)(number)?,
        };
        let pieces = self.pieces(&job, group)?;
        let mut order: Vec<Row> = Vec::new();
        let span = self.span();
        for (piece, rows) in (0..).zip(pieces.iter().map(|piece| &piece.rows)) {
            let all = (0..).zip(rows).map(|(row, at)| (at.timestamp, at.sequence, piece, row));
            // A day that a window is taken out of has other windows' rows, too.
            order.extend(all.filter(|(timestamp, ..)| span.contains(*timestamp)));
        }
        // Most often it is sorted already, which costs one look.
        order.sort_unstable();
        // A row that two generations have is one row.
        order.dedup_by_key(|(timestamp, sequence, ..)| (*timestamp, *sequence));
        let (Some(first), Some(last)) = (order.first(), order.last()) else { return Ok(None) };
        let (first, last) = (first.0, last.0);
        let parts: Vec<&[_]> = order.chunks(PART_ROWS).collect();
        let count =
            u16::try_from(parts.len()).map_err(|_| SealedError::Malformed("too many rows of one group"))?;
        let moves: Vec<Vec<Vec<Move>>> = parts
            .iter()
            .map(|part| {
                let mut moves = vec![Vec::new(); pieces.len()];
                for (to, &(_, _, piece, row)) in (0..).zip(*part) {
                    moves[piece as usize].push((to, row));
                }
                moves
            })
            .collect();
        let hidden = self.hidden(group);
        let mut day = self.is_day.then(|| Day::new(self.start, &parts));
        for (sub, from) in (0..).zip((0..group.slots()).step_by(Block::COLUMNS_MAX)) {
            let slots: Vec<u32> =
                (from..group.slots().min(from + Block::COLUMNS_MAX)).map(|slot| slot as u32).collect();
            for ((part, moves), rows) in (0..).zip(&moves).zip(&parts) {
                if (self.stopped)() {
                    return Err(SealedError::Stopped);
                }
                let mut columns = vec![vec![Cell::Absent; rows.len()]; slots.len()];
                for (piece, moves) in pieces.iter().zip(moves).filter(|(_, moves)| !moves.is_empty()) {
                    let key = BlockKey { group: number, sub, ..file.key };
                    self.gather(key, group, piece, &slots, moves, &mut file.reader, &mut columns)?;
                }
                for (touched, range) in &hidden {
                    hide(touched, *range, &slots, rows, &mut columns);
                }
                let key = BlockKey { group: number, sub, part, ..file.key };
                file.put_block(key, group, &columns)?;
                if let Some(day) = &mut day {
                    day.summarise(key, &columns)?;
                }
            }
        }
        for (key, summaries) in day.iter_mut().flat_map(Day::summaries) {
            file.put(&key, name_of(group, &key), &summaries)?;
        }
        let tails = match &day {
            Some(_) => self.store.tails_of_day(number, group, &job.old)?,
            None => self
                .tails(number, group, &job)?
                .filter(|tails| !tails.is_empty())
                .map(|tails| put_tails(&tails)),
        };
        if let Some(tails) = &tails {
            let key = BlockKey { group: number, sub: TAILS, ..file.key };
            file.put(&key, name_of(group, &key), tails)?;
        }
        for (part, rows) in (0..).zip(&parts) {
            let rows: Vec<At> =
                rows.iter().map(|&(timestamp, sequence, ..)| At { timestamp, sequence }).collect();
            let key = BlockKey { group: number, sub: TIMES, part, ..file.key };
            file.put(&key, name_of(group, &key), &put_rows(&rows)?)?;
        }
        file.generation.rows += order.len() as u64;
        let windows = day.map_or(0, |day| day.windows());
        Ok(Some(Entry { group: number, parts: count, first, last, tails: tails.is_some(), windows }))
    }

    /// The times of the window, or of the day.
    fn span(&self) -> TimeRange {
        let long = if self.is_day { DAY_MS } else { WINDOW_MS };
        TimeRange { start: self.start, end: self.start.saturating_add(long - 1) }
    }

    /// What deletions hide of a group.
    fn hidden(&self, group: &Group) -> Vec<(Arc<[u32]>, TimeRange)> {
        let window = self.span();
        let deletions = self.store.deletions.read().clone();
        let touching = deletions.iter().filter(|deletion| deletion.range.overlaps(&window));
        touching.map(|deletion| (deletion.slots(group), deletion.range)).collect()
    }

    /// What was read; nothing where it is damaged and the rest is wanted all the same.
    fn whole<T>(&self, read: Result<T, SealedError>) -> Result<Option<T>, SealedError> {
        match read {
            Err(error) if self.salvage && error.is_damage() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether all blocks of a part of a group can be read.
    fn is_whole(&self, old: &Old, part: u16, group: &Group) -> bool {
        let Old { start, generation, entry } = old;
        (0..).zip((0..group.slots()).step_by(Block::COLUMNS_MAX)).all(|(sub, from)| {
            let first = BlockKey::first(*start, generation.number);
            let key = BlockKey { group: entry.group, sub, part, ..first };
            let columns = (group.slots() - from).min(Block::COLUMNS_MAX);
            let rows = self.store.rows_of(*start, generation, entry.group, part, group);
            let read = rows.and_then(|rows| {
                self.store.block_cells(&key, group, rows.len(), columns, &mut BlockReader::new()?)
            });
            read.is_ok()
        })
    }

    fn pieces(&self, job: &Job, group: &Group) -> Result<Vec<Piece>, SealedError> {
        let mut pieces = Vec::new();
        for old in &job.old {
            let Old { start, generation, entry } = old;
            for part in 0..entry.parts {
                let rows = self.store.rows_of(*start, generation, entry.group, part, group);
                let Some(rows) = self.whole(rows)? else { continue };
                // A histogram without one of its columns would be another histogram.
                if self.salvage && group.layout.has_histograms() && !self.is_whole(old, part, group) {
                    continue;
                }
                let first = BlockKey::first(*start, generation.number);
                pieces.push(Piece { rows, cells: Cells::Block(BlockKey { part, ..first }) });
            }
        }
        if let Some(rows) = &job.rows {
            let mut rows = rows.lock();
            rows.close()?;
            let tiles = rows.tiles();
            pieces.extend(tiles.map(|(tile, rows)| Piece { rows, cells: Cells::Tile(tile) }));
        }
        Ok(pieces)
    }

    /// What rows may still build on: the newest word on a group counts.
    fn tails(&self, number: u32, group: &Group, job: &Job) -> Result<Option<Vec<Tail>>, SealedError> {
        if let Some(tails) = &job.tails {
            return Ok(Some(tails.clone()));
        }
        match job.old.last() {
            Some(Old { start, generation, entry }) if entry.tails => {
                let tails = match generation.is_day() && !self.is_day {
                    true => self.store.day_tails(*start, generation, number, group).map(|mut all| {
                        let which = window_in_day(self.start);
                        let at = all.iter().position(|(window, _)| *window == which);
                        at.map(|at| all.swap_remove(at).1).unwrap_or_default()
                    }),
                    false => self.store.tails_of(*start, generation, number, group),
                };
                Ok(Some(self.whole(tails)?.unwrap_or_default()))
            }
            _ => Ok(None),
        }
    }

    /// Brings some columns of a piece to their places.
    #[allow(clippy::too_many_arguments, reason = "one step of put_group, split off to be read alone")]
    fn gather(
        &self,
        to: BlockKey,
        group: &Group,
        piece: &Piece,
        slots: &[u32],
        moves: &[Move],
        reader: &mut BlockReader,
        columns: &mut [Vec<Cell>],
    ) -> Result<(), SealedError> {
        let mut place = |column: usize, cells: &[Cell]| {
            for &(to, from) in moves {
                // Both are positions of rows that exist.
                if let Some(cell) = cells.get(from as usize) {
                    columns[column][to as usize] = *cell;
                }
            }
        };
        match &piece.cells {
            Cells::Tile(tile) => tile.cells(slots, place)?,
            Cells::Block(first) => {
                let key = BlockKey { group: to.group, sub: to.sub, ..*first };
                let read = self.store.block_cells(&key, group, piece.rows.len(), slots.len(), reader);
                for (column, cells) in self.whole(read)?.into_iter().flatten().enumerate() {
                    place(column, &cells);
                }
            }
        }
        Ok(())
    }
}

/// Takes the cells of a range out of those columns that a deletion touches.
fn hide(touched: &[u32], range: TimeRange, slots: &[u32], rows: &[Row], columns: &mut [Vec<Cell>]) {
    for (slot, column) in slots.iter().zip(columns) {
        if touched.binary_search(slot).is_err() {
            continue;
        }
        for ((timestamp, ..), cell) in rows.iter().zip(column) {
            if range.contains(*timestamp) {
                *cell = Cell::Absent;
            }
        }
    }
}

/// The file that is written.
struct File<'a> {
    sst: SstFileWriter<'a>,
    /// Of the generation.
    key: BlockKey,
    builder: BlockBuilder,
    reader: BlockReader,
    generation: Generation,
}

impl File<'_> {
    fn put_block(&mut self, key: BlockKey, group: &Group, columns: &[Vec<Cell>]) -> Result<(), SealedError> {
        for column in columns {
            self.builder.column(column)?;
            self.generation.samples += column.iter().filter(|cell| **cell != Cell::Absent).count() as u64;
        }
        let block = self.builder.finish()?;
        self.put(&key, name_of(group, &key), &block)
    }

    fn put(&mut self, key: &BlockKey, name: u128, value: &[u8]) -> Result<(), SealedError> {
        let mut named = Vec::with_capacity(16 + value.len());
        named.extend_from_slice(&name.to_le_bytes());
        named.extend_from_slice(value);
        Ok(self.sst.put(key.bytes(), named)?)
    }
}

impl SealedStore {
    /// The cells of a block, column by column.
    fn block_cells(
        &self,
        key: &BlockKey,
        group: &Group,
        rows: usize,
        columns: usize,
        reader: &mut BlockReader,
    ) -> Result<Vec<Vec<Cell>>, SealedError> {
        let value = self.value(key, name_of(group, key))?;
        let block = Block::parse(&value)?;
        if block.rows() != rows || block.summaries().len() != columns {
            return Err(SealedError::Malformed("a block of another size"));
        }
        let mut read = reader.open(&block)?;
        let mut all = Vec::with_capacity(columns);
        for column in 0..columns {
            let mut cells = Vec::with_capacity(rows);
            read.cells(column, &mut cells)?;
            all.push(cells);
        }
        Ok(all)
    }

    pub(super) fn numbers(&self, groups: &[Arc<Group>]) -> Result<Vec<u32>, SealedError> {
        self.identity.numbers(&self.db, groups, |batch| self.write(batch))
    }

    /// When the rows of a part were, and where they came from.
    pub(super) fn rows_of(
        &self,
        window: i64,
        generation: &Generation,
        number: u32,
        part: u16,
        group: &Group,
    ) -> Result<Vec<At>, SealedError> {
        let first = BlockKey::first(window, generation.number);
        let key = BlockKey { group: number, sub: TIMES, part, ..first };
        read_rows(&self.value(&key, name_of(group, &key))?)
    }

    /// The rows that others may still build on.
    pub(super) fn tails_of(
        &self,
        window: i64,
        generation: &Generation,
        number: u32,
        group: &Group,
    ) -> Result<Vec<Tail>, SealedError> {
        let key = BlockKey { sub: TAILS, group: number, ..BlockKey::first(window, generation.number) };
        Ok(read_tails(&self.value(&key, name_of(group, &key))?, group.slots())?)
    }
}
