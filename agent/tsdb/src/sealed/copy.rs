//! Copying generations between stores: giving a group's values as they lie, and taking another store's. What arrives
//! is checked, waits in a file without a name, and is written under this store's own numbers once it is all there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::SstFileWriter;
use storage::WindowValue;

use super::check::in_order;
use super::error::SealedError;
use super::identity::{name_of, name_of_index};
use super::index::{Entry, Index, put_tails, read_rows, read_tails};
use super::keys::{BlockKey, TAILS, TIMES};
use super::manifest::{Generation, SealedWindow};
use super::store::SealedStore;
use crate::codec::Block;
use crate::group::Group;
use crate::rows::Tail;
use crate::window::WINDOW_MS;

const MISSING: SealedError = SealedError::Malformed("a value of a group is missing");
const FOREIGN: SealedError = SealedError::Malformed("a value that belongs to something else");

impl SealedStore {
    /// All values of a group, names verified.
    pub(crate) fn values_of(
        &self,
        window: i64,
        generation: &Generation,
        group: &Group,
        number: u32,
    ) -> Result<Vec<WindowValue>, SealedError> {
        if generation.is_day() {
            return self.values_in_day(window, generation, group, number);
        }
        let index = self.index(window, generation)?;
        let entry = index.find(number).ok_or(MISSING)?;
        let blocks = u16::try_from(group.slots().div_ceil(Block::COLUMNS_MAX)).map_err(|_| MISSING)?;
        let mut keys: Vec<(u16, u16)> =
            (0..blocks).flat_map(|sub| (0..entry.parts).map(move |part| (sub, part))).collect();
        keys.extend(entry.tails.then_some((TAILS, 0)));
        keys.extend((0..entry.parts).map(|part| (TIMES, part)));
        let value = |(sub, part)| {
            let key = BlockKey { window, generation: generation.number, group: number, sub, part };
            let name = name_of(group, &key);
            Ok(WindowValue { sub, part, name, bytes: self.value(&key, name)? })
        };
        keys.into_iter().map(value).collect()
    }
}

/// Generations on their way into a store.
pub(crate) struct Incoming {
    window: i64,
    /// All values but tails, one after the other.
    spool: File,
    end: u64,
    generations: Vec<(u32, Vec<Arrived>)>,
}

/// A group that is there whole.
struct Arrived {
    group: Arc<Group>,
    parts: u16,
    first: i64,
    last: i64,
    rows: u64,
    samples: u64,
    tails: Vec<Tail>,
    /// Which value, and where it is in the spool.
    values: Vec<(u16, u16, u64, usize)>,
}

impl Incoming {
    /// Nothing yet of a window.
    pub(crate) fn new(window: i64, dir: &Path) -> Result<Self, SealedError> {
        Ok(Self { window, spool: tempfile::tempfile_in(dir)?, end: 0, generations: Vec::new() })
    }

    /// Takes the values of a group, which had this number at the store that gave them.
    pub(crate) fn take(
        &mut self,
        generation: u32,
        number: u32,
        group: Arc<Group>,
        values: Vec<WindowValue>,
    ) -> Result<(), SealedError> {
        let mut arrived = self.check(generation, number, group, &values)?;
        for value in values.iter().filter(|value| value.sub != TAILS) {
            self.spool.write_all_at(&value.bytes, self.end)?;
            arrived.values.push((value.sub, value.part, self.end, value.bytes.len()));
            self.end += value.bytes.len() as u64;
        }
        arrived.values.sort_unstable();
        match self.generations.last_mut().filter(|(last, _)| *last == generation) {
            Some((_, groups)) => groups.push(arrived),
            None => self.generations.push((generation, vec![arrived])),
        }
        Ok(())
    }

    /// Checks that values are those of this group, whole, and fit together.
    fn check(
        &self,
        generation: u32,
        number: u32,
        group: Arc<Group>,
        values: &[WindowValue],
    ) -> Result<Arrived, SealedError> {
        let window = self.window;
        let of = |sub, part| values.iter().find(|value| (value.sub, value.part) == (sub, part));
        for value in values {
            let key = BlockKey { window, generation, group: number, sub: value.sub, part: value.part };
            if value.name != name_of(&group, &key) {
                return Err(FOREIGN);
            }
        }
        let mut arrived = Arrived {
            group: Arc::clone(&group),
            parts: 0,
            first: i64::MAX,
            last: i64::MIN,
            rows: 0,
            samples: 0,
            tails: Vec::new(),
            values: Vec::new(),
        };
        let mut expected = 0;
        while let Some(times) = of(TIMES, arrived.parts) {
            let rows = read_rows(&times.bytes)?;
            in_order(&rows, window, WINDOW_MS)?;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Err(MISSING) };
            arrived.first = arrived.first.min(first.timestamp);
            arrived.last = arrived.last.max(last.timestamp);
            arrived.rows += rows.len() as u64;
            for (sub, from) in (0..).zip((0..group.slots()).step_by(Block::COLUMNS_MAX)) {
                let value = of(sub, arrived.parts).ok_or(MISSING)?;
                let block = Block::parse(&value.bytes)?;
                let columns = (group.slots() - from).min(Block::COLUMNS_MAX);
                if block.rows() != rows.len() || block.summaries().len() != columns {
                    return Err(SealedError::Malformed("a block of another size"));
                }
                let held = |summary: &storage::Summary| u64::from(summary.count) + u64::from(summary.stale);
                arrived.samples += block.summaries().iter().map(held).sum::<u64>();
                expected += 1;
            }
            expected += 1;
            arrived.parts = arrived.parts.checked_add(1).ok_or(MISSING)?;
        }
        if let Some(tails) = of(TAILS, 0) {
            arrived.tails = read_tails(&tails.bytes, group.slots())?;
            expected += 1;
        }
        if arrived.parts == 0 || expected != values.len() { Err(MISSING) } else { Ok(arrived) }
    }

    /// Writes what arrived as generations of this store, and ingests them. Nobody reads them before the manifest
    /// names them. What the store has of the window tells which rows may be built on besides.
    pub(crate) fn write(
        self,
        store: &SealedStore,
        ours: Option<&SealedWindow>,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Generation>, SealedError> {
        let mut written = Vec::new();
        for (_, groups) in &self.generations {
            let number = store.new_generation();
            let file = store.staging.join(format!("{number:08}.sst"));
            let generation = self.write_file(store, ours, number, groups, &file, stopped);
            let ingested = generation.and_then(|generation| store.ingest(&file).map(|()| generation));
            let _ = std::fs::remove_file(&file);
            match ingested {
                Ok(generation) => written.push(generation),
                Err(error) => {
                    let strangers = written.iter().map(|generation: &Generation| generation.number);
                    strangers.for_each(|number| store.delete_files(self.window, number));
                    return Err(error);
                }
            }
        }
        Ok(written)
    }

    fn write_file(
        &self,
        store: &SealedStore,
        ours: Option<&SealedWindow>,
        number: u32,
        groups: &[Arrived],
        path: &Path,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Generation, SealedError> {
        let names: Vec<_> = groups.iter().map(|arrived| Arc::clone(&arrived.group)).collect();
        let numbers = store.numbers(&names)?;
        let mut all: Vec<(u32, &Arrived)> = numbers.into_iter().zip(groups).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        let mut sst = SstFileWriter::create(&store.file_options);
        sst.open(path)?;
        let mut generation = Generation { number, ..Generation::default() };
        let mut index = Index::default();
        for (number, arrived) in all {
            if stopped() {
                return Err(SealedError::Stopped);
            }
            let known =
                ours.map(|window| store.tails(window, &arrived.group)).transpose()?.unwrap_or_default();
            let tails = joined(arrived.tails.clone(), known);
            let key = BlockKey { group: number, ..BlockKey::first(self.window, generation.number) };
            self.put_group(&mut sst, key, arrived, &tails)?;
            let Arrived { parts, first, last, .. } = *arrived;
            index.0.push(Entry { group: number, parts, first, last, tails: !tails.is_empty(), windows: 0 });
            generation.rows += arrived.rows;
            generation.samples += arrived.samples;
        }
        let key = BlockKey::index(self.window, generation.number);
        put(&mut sst, &key, name_of_index(&key), &index.put(self.window, false))?;
        sst.finish()?;
        generation.bytes = sst.file_size();
        generation.index = Mutex::new(Some(Arc::new(index)));
        Ok(generation)
    }

    fn put_group(
        &self,
        sst: &mut SstFileWriter<'_>,
        key: BlockKey,
        arrived: &Arrived,
        tails: &[Tail],
    ) -> Result<(), SealedError> {
        let group = &arrived.group;
        let mut bytes = Vec::new();
        let mut tails = (!tails.is_empty()).then(|| put_tails(tails));
        for &(sub, part, offset, length) in &arrived.values {
            if let Some(tails) = tails.take_if(|_| sub > TAILS) {
                let key = BlockKey { sub: TAILS, ..key };
                put(sst, &key, name_of(group, &key), &tails)?;
            }
            bytes.resize(length, 0);
            self.spool.read_exact_at(&mut bytes, offset)?;
            let key = BlockKey { sub, part, ..key };
            put(sst, &key, name_of(group, &key), &bytes)?;
        }
        Ok(())
    }
}

/// Rows that may be built on: theirs, and ours where theirs has another number. One that was built on already does
/// no harm: whatever names it is there.
fn joined(mut theirs: Vec<Tail>, ours: Vec<Tail>) -> Vec<Tail> {
    for tail in ours {
        if theirs.iter().all(|known| known.row.number != tail.row.number) {
            theirs.push(tail);
        }
    }
    theirs
}

fn put(sst: &mut SstFileWriter<'_>, key: &BlockKey, name: u128, value: &[u8]) -> Result<(), SealedError> {
    let mut named = Vec::with_capacity(16 + value.len());
    named.extend_from_slice(&name.to_le_bytes());
    named.extend_from_slice(value);
    Ok(sst.put(key.bytes(), named)?)
}
