//! Where sealed tiles of the head go: a file of the window, of which memory keeps only where each column is. The
//! log has the same rows, so nothing is lost with the file; the next start takes over what it finds there (see
//! `kept.rs`). Where the disk takes no tile, it stays in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use storage::Cell;

use crate::bytes::Malformed;
use crate::codec::{Part, Tile};
use crate::columns::Held;
use crate::kept::{self, Description, Drawer};
use crate::memory::{allocated, shared};

/// A window's file.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: File,
    /// It is found again at the next start.
    named: bool,
    end: AtomicU64,
    failed: AtomicBool,
}

impl SpillFile {
    /// A file in `dir` that goes with its last user.
    pub(crate) fn new(dir: &Path) -> io::Result<Arc<Self>> {
        let file = tempfile::tempfile_in(dir)?;
        Ok(Arc::new(Self { file, named: false, end: AtomicU64::new(0), failed: AtomicBool::new(false) }))
    }

    /// A new file at `path`, in the place of one that is there.
    pub(crate) fn named(path: &Path) -> io::Result<Arc<Self>> {
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(Arc::new(Self::of(file)))
    }

    /// One that has a name and is empty.
    pub(crate) fn of(file: File) -> Self {
        Self { file, named: true, end: AtomicU64::new(0), failed: AtomicBool::new(false) }
    }

    /// Tiles are added from there on; what comes after it goes.
    pub(crate) fn goes_on_at(&self, end: u64) -> io::Result<()> {
        self.end.store(end, Ordering::Relaxed);
        self.file.set_len(end)
    }

    /// Bytes written.
    pub(crate) fn bytes(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    /// So many bytes from a place on.
    pub(crate) fn read(&self, place: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.file.read_exact_at(&mut read, place)?;
        Ok(read)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<u64> {
        let offset = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, offset)?;
        Ok(offset)
    }

    fn complain(&self, error: &io::Error) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "tiles of the head stay in memory: their file takes none");
        }
    }

    /// Takes a tile's columns.
    fn put(self: &Arc<Self>, tile: &Tile) -> io::Result<Spilled> {
        let offset = self.write(tile.payload())?;
        Ok(self.at(tile, offset))
    }

    /// A tile whose columns begin at `offset`.
    fn at(self: &Arc<Self>, tile: &Tile, offset: u64) -> Spilled {
        let (payload, mut start) = (tile.payload(), 0);
        let columns = tile.ends().map(|end| {
            let bytes = payload.get(start..end).unwrap_or_default();
            start = end;
            Entry { end: end as u32, check: check(bytes) }
        });
        let columns = Entries::new(columns.collect());
        Spilled { file: Arc::clone(self), offset, rows: tile.rows(), columns }
    }
}

impl Drawer {
    /// Whether tiles are described there.
    pub(crate) fn is_named(&self) -> bool {
        self.file.named
    }

    /// A tile, in the file where that takes it; without a description the next start does not know it.
    pub(crate) fn take(&self, tile: Tile, said: Option<&Description<'_>>) -> Sealed {
        let file = &self.file;
        let put = match said {
            None => file.put(&tile),
            Some(said) => {
                let (bytes, at) = kept::encode(&self.owner, said, &tile);
                let columns = (at + tile.payload_start()) as u64;
                file.write(&bytes).map(|offset| file.at(&tile, offset + columns))
            }
        };
        match put {
            Ok(spilled) => Sealed::File(spilled),
            Err(error) => {
                file.complain(&error);
                Sealed::Memory(tile)
            }
        }
    }

    /// Puts a copy of a tile that stays in memory into the file.
    pub(crate) fn note(&self, tile: &Tile, said: &Description<'_>) {
        let (bytes, _) = kept::encode(&self.owner, said, tile);
        if let Err(error) = self.file.write(&bytes) {
            self.file.complain(&error);
        }
    }
}

/// A tile of the head.
#[derive(Debug)]
pub(crate) enum Sealed {
    Memory(Tile),
    File(Spilled),
}

/// A tile whose columns are in a file.
#[derive(Debug)]
pub(crate) struct Spilled {
    file: Arc<SpillFile>,
    offset: u64,
    rows: usize,
    columns: Entries,
}

/// Where a column ends, and the low half of its CRC32C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    end: u32,
    check: u16,
}

/// The columns of a tile; most tiles are shorter than 64 KiB.
#[derive(Debug)]
enum Entries {
    Narrow(Box<[(u16, u16)]>),
    Wide(Box<[Entry]>),
}

impl Entries {
    fn new(entries: Vec<Entry>) -> Self {
        let narrow = |entry: &Entry| Some((u16::try_from(entry.end).ok()?, entry.check));
        match entries.iter().map(narrow).collect::<Option<_>>() {
            Some(narrow) => Self::Narrow(narrow),
            None => Self::Wide(entries.into()),
        }
    }

    fn get(&self, at: usize) -> Option<Entry> {
        match self {
            Self::Narrow(all) => all.get(at).map(|&(end, check)| Entry { end: u32::from(end), check }),
            Self::Wide(all) => all.get(at).copied(),
        }
    }

    /// Start and end of a column, and its check.
    fn part(&self, at: usize) -> Option<(usize, usize, u16)> {
        let start = at.checked_sub(1).map_or(Some(0), |before| Some(self.get(before)?.end))?;
        let entry = self.get(at)?;
        Some((start as usize, entry.end as usize, entry.check))
    }
}

/// Why a column cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpillError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Malformed(&'static str),
}

impl From<Malformed> for SpillError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}

impl Sealed {
    /// The tile, where it is not in a file.
    pub(crate) fn in_memory(&self) -> Option<&Tile> {
        match self {
            Self::Memory(tile) => Some(tile),
            Self::File(_) => None,
        }
    }

    /// What it takes up in memory.
    pub(crate) fn bytes(&self) -> u64 {
        let held = match self {
            Self::Memory(tile) => shared(tile.bytes().len()),
            Self::File(Spilled { columns: Entries::Narrow(all), .. }) => allocated(size_of_val(&**all)),
            Self::File(Spilled { columns: Entries::Wide(all), .. }) => allocated(size_of_val(&**all)),
        };
        shared(size_of::<Self>()) + held
    }

    /// A tile that begins at `place` of a file.
    pub(crate) fn found(tile: &Tile, file: &Arc<SpillFile>, place: u64) -> Self {
        Self::File(file.at(tile, place + tile.payload_start() as u64))
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Memory(tile) => tile.rows(),
            Self::File(tile) => tile.rows,
        }
    }

    /// Gives each slot's cells, one a row; `slots` are in order. What cannot be read is told.
    pub(crate) fn cells(
        &self,
        slots: &[u32],
        mut visit: impl FnMut(usize, &[Cell]),
    ) -> Result<(), SpillError> {
        let mut cells = Vec::new();
        self.parts(slots, |at, part| {
            cells.clear();
            part.cells(&mut cells)?;
            visit(at, &cells);
            Ok(())
        })
    }

    /// Gives the row of each slot's last sample, where it has one; `slots` are in order.
    pub(crate) fn last_rows(
        &self,
        slots: &[u32],
        mut visit: impl FnMut(usize, usize),
    ) -> Result<(), SpillError> {
        self.parts(slots, |at, part| {
            if let Some((row, _)) = part.last()? {
                visit(at, row);
            }
            Ok(())
        })
    }

    /// Columns of some slots, which are in order, to be decoded later: what is in the file is read and checked now.
    pub(crate) fn columns(&self, slots: &Arc<[u32]>) -> Result<Held, SpillError> {
        let tile = match self {
            Self::Memory(tile) => {
                return Ok(Held::Tile { tile: tile.clone(), slots: Arc::clone(slots) });
            }
            Self::File(tile) => tile,
        };
        let (from, bytes) = tile.read(slots)?;
        let place = |&slot: &u32| tile.part(slot, from, &bytes);
        let columns = slots.iter().map(place).collect::<Result<_, SpillError>>()?;
        Ok(Held::Read { bytes, columns, rows: tile.rows })
    }

    fn parts(
        &self,
        slots: &[u32],
        mut visit: impl FnMut(usize, Part<'_>) -> Result<(), Malformed>,
    ) -> Result<(), SpillError> {
        match self {
            Self::Memory(tile) => {
                for (at, &slot) in slots.iter().enumerate() {
                    visit(at, tile.part(slot as usize)?)?;
                }
            }
            Self::File(tile) => {
                let (from, bytes) = tile.read(slots)?;
                for (at, &slot) in slots.iter().enumerate() {
                    let (start, end) = tile.part(slot, from, &bytes)?;
                    visit(at, Part::new(&bytes[start as usize..end as usize], tile.rows))?;
                }
            }
        }
        Ok(())
    }
}

impl Spilled {
    /// The bytes of some slots' columns, which are in order, and of those between them; and where they begin.
    fn read(&self, slots: &[u32]) -> Result<(usize, Vec<u8>), SpillError> {
        let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok((0, Vec::new())) };
        let (from, ..) = self.columns.part(*first as usize).ok_or(UNKNOWN)?;
        let (_, to, _) = self.columns.part(*last as usize).ok_or(UNKNOWN)?;
        // One call for all: what lies between is in the page cache more often than not.
        let mut bytes = vec![0; to.saturating_sub(from)];
        self.file.file.read_exact_at(&mut bytes, self.offset + from as u64)?;
        Ok((from, bytes))
    }

    /// Where a slot's column is in `bytes`, which begin at `from`; checked.
    fn part(&self, slot: u32, from: usize, bytes: &[u8]) -> Result<(u32, u32), SpillError> {
        let (start, end, expected) = self.columns.part(slot as usize).ok_or(UNKNOWN)?;
        let (start, end) = (start.wrapping_sub(from), end.wrapping_sub(from));
        let part = bytes.get(start..end).ok_or(UNKNOWN)?;
        if check(part) != expected {
            return Err(SpillError::Malformed("its bytes on the disk have changed"));
        }
        Ok((start as u32, end as u32))
    }
}

const UNKNOWN: Malformed = Malformed("the tile does not have that column");

fn check(bytes: &[u8]) -> u16 {
    crc32c::crc32c(bytes) as u16
}

#[cfg(test)]
mod tests {
    use storage::Number;

    use super::*;
    use crate::codec::TileBuilder;
    use crate::window::cell_bits;

    const ROWS: usize = 128;

    /// A tile in which no two columns are alike; `columns` decides whether its table is narrow.
    fn tile(columns: usize) -> (Tile, Vec<Vec<Cell>>) {
        let times: Vec<i64> = (0..ROWS as i64).map(|row| row * 15_000).collect();
        let mut builder = TileBuilder::default();
        builder.begin(&times).expect("begins");
        let cell = |slot: usize, row: usize| match (slot + row) % 7 {
            0 if slot.is_multiple_of(3) => Cell::Absent,
            1 if slot.is_multiple_of(5) => Cell::Stale,
            _ if slot.is_multiple_of(11) => Cell::Absent,
            _ => Cell::Value(Number::from_f64((slot * 7_919 + row * row * 31) as f64 / 8.0)),
        };
        let all: Vec<Vec<Cell>> =
            (0..columns).map(|slot| (0..ROWS).map(|row| cell(slot, row)).collect()).collect();
        all.iter().for_each(|column| builder.column(column).expect("fits"));
        (builder.finish().expect("a tile"), all)
    }

    /// Equal numbers may be written in several ways.
    fn bits(cells: &[Cell]) -> Vec<Option<u64>> {
        cells.iter().map(|cell| cell_bits(*cell)).collect()
    }

    fn read(sealed: &Sealed, slots: &[u32]) -> Vec<Vec<Option<u64>>> {
        let mut out = vec![Vec::new(); slots.len()];
        sealed.cells(slots, |at, cells| out[at] = bits(cells)).expect("reads");
        out
    }

    #[test]
    fn columns_come_back_from_the_file() {
        let dir = tempfile::tempdir().expect("dir");
        let file = SpillFile::new(dir.path()).expect("made");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0, "it has no name");
        for columns in [1, 30, 900] {
            let (whole, expected) = tile(columns);
            let kept = Sealed::Memory(whole.clone());
            let spilled = Sealed::File(file.put(&whole).expect("takes it"));
            assert!(matches!((&kept, &spilled), (Sealed::Memory(_), Sealed::File(_))));
            let all: Vec<u32> = (0..columns as u32).collect();
            for slots in [all.clone(), vec![columns as u32 - 1], all.iter().copied().step_by(7).collect()] {
                let wanted: Vec<_> = slots.iter().map(|&slot| bits(&expected[slot as usize])).collect();
                assert_eq!(read(&spilled, &slots), wanted);
                assert_eq!(read(&kept, &slots), wanted);
                let mut last = vec![None; slots.len()];
                spilled.last_rows(&slots, |at, row| last[at] = Some(row)).expect("reads");
                let naive = wanted.iter().map(|column| column.iter().rposition(Option::is_some));
                assert_eq!(last, naive.collect::<Vec<_>>());
            }
            assert!(spilled.cells(&[columns as u32], |_, _| {}).is_err());
        }
        assert!(file.bytes() > 0);
    }

    #[test]
    fn changed_bytes_are_told_and_give_no_value() {
        let dir = tempfile::tempdir().expect("dir");
        let file = SpillFile::new(dir.path()).expect("made");
        let (whole, expected) = tile(20);
        let spilled = Sealed::File(file.put(&whole).expect("takes it"));
        let Sealed::File(tile) = &spilled else { panic!("in the file") };
        let (start, ..) = tile.columns.part(7).expect("there");
        let mut byte = [0];
        file.file.read_exact_at(&mut byte, start as u64 + 3).expect("reads");
        file.file.write_all_at(&[byte[0] ^ 0x10], start as u64 + 3).expect("writes");
        assert!(spilled.cells(&[7], |_, _| panic!("no value")).is_err());
        assert_eq!(read(&spilled, &[6]), [bits(&expected[6])]);
    }
}
