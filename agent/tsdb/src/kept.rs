//! What a start finds of the head's tiles: whole records of a window's file (FORMAT.md), each checked. They stand in
//! for rows of the log, which are read all the same but neither decoded nor made into tiles again. The log is the
//! truth: a tile counts only where the log has just the rows that it was made of.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::{LayoutId, StreamId};

use crate::bytes::{Malformed, Reader, put_varint};
use crate::codec::Tile;
use crate::record;
use crate::row::RowState;
use crate::rows::Tail;
use crate::run::At;
use crate::spill::{Sealed, SpillFile};

/// Starts every record.
const MAGIC: [u8; 4] = [0xe7, 0x96, 0xb1, 0xd4];
/// Bytes before a description: magic, two lengths, their checksum.
pub(crate) const HEAD: usize = 16;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// The folder of the files.
const FOLDER: &str = "head";
const ENDING: &str = "tiles";

/// Whose tiles.
pub(crate) type Owner = (StreamId, LayoutId);

/// Tiles by their group, in the order in which they were made.
pub(crate) type KeptTiles = HashMap<Owner, VecDeque<KeptTile>>;

/// Where a group's tiles go.
#[derive(Clone, Debug)]
pub(crate) struct Drawer {
    pub(crate) file: Arc<SpillFile>,
    pub(crate) owner: Owner,
}

/// What is said of a tile beside its columns.
#[derive(Debug)]
pub(crate) struct Description<'a> {
    pub(crate) rows: &'a [At],
    /// Cells that are not absent.
    pub(crate) samples: u64,
    /// The last row.
    pub(crate) last: &'a RowState,
}

/// A tile that was found.
#[derive(Debug)]
pub(crate) struct KeptTile {
    pub(crate) sealed: Arc<Sealed>,
    pub(crate) columns: usize,
    pub(crate) samples: u64,
    /// Places of its first and last row in their stream.
    pub(crate) first: (u64, u32),
    pub(crate) last: (u64, u32),
    name: u64,
    snapshot: Snapshot,
}

/// Where a file says what leads from an empty row to a tile's last one.
#[derive(Clone, Debug)]
struct Snapshot {
    file: Arc<SpillFile>,
    place: u64,
    bytes: usize,
    check: u32,
}

/// A tile by its description.
#[derive(Debug)]
struct Described {
    samples: u64,
    first: (u64, u32),
    last: (u64, u32),
    name: u64,
    snapshot: Snapshot,
    /// Where the tile is.
    place: u64,
    bytes: usize,
}

/// The file of a window.
pub(crate) fn path(dir: &Path, window: i64) -> PathBuf {
    dir.join(FOLDER).join(format!("{window}.{ENDING}"))
}

/// Removes files of windows that are not `wanted`. Who reads them still can.
pub(crate) fn tidy(dir: &Path, wanted: impl Fn(i64) -> bool) {
    for entry in std::fs::read_dir(dir.join(FOLDER)).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(ENDING)?.strip_suffix('.'));
        let window = stem.and_then(|stem| stem.parse::<i64>().ok());
        if window.is_some_and(|window| !wanted(window))
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(file = %entry.path().display(), %error, "tiles that nobody needs stay on the disk");
        }
    }
}

/// Names rows: when they were and where they came from.
fn name(rows: &[At]) -> u64 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for at in rows {
        hasher.update(&at.timestamp.to_le_bytes());
        hasher.update(&at.sequence.0.to_le_bytes());
        hasher.update(&at.sequence.1.to_le_bytes());
    }
    hasher.digest()
}

/// A record, and where its tile begins in it.
pub(crate) fn encode(owner: &Owner, said: &Description<'_>, tile: &Tile) -> (Vec<u8>, usize) {
    let mut description = Vec::new();
    record::put_id(&mut description, &owner.0);
    description.extend_from_slice(&owner.1.0.to_le_bytes());
    put_varint(&mut description, said.samples);
    description.extend_from_slice(&name(said.rows).to_le_bytes());
    for at in [said.rows.first(), said.rows.last()] {
        let (seq, row) = at.map_or((0, 0), |at| at.sequence);
        put_varint(&mut description, seq);
        put_varint(&mut description, u64::from(row));
    }
    for changes in said.last.snapshot() {
        put_varint(&mut description, changes.len() as u64);
        description.extend_from_slice(&changes);
    }
    let mut out = Vec::with_capacity(HEAD + description.len() + tile.bytes().len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&(description.len() as u32).to_le_bytes());
    out.extend_from_slice(&(tile.bytes().len() as u32).to_le_bytes());
    let check = crc32c::crc32c_append(crc32c::crc32c(&out), &description);
    out.extend_from_slice(&check.to_le_bytes());
    out.extend_from_slice(&description);
    let at = out.len();
    out.extend_from_slice(tile.bytes());
    (out, at)
}

/// The tiles of a window's file, and the file itself, which goes on after the last of them. What comes after
/// anything that is no record does not count.
///
/// # Errors
/// When the file cannot be opened or read; then it is of no use.
pub(crate) fn reopen(path: &Path) -> io::Result<(Arc<SpillFile>, KeptTiles)> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(CHUNK, file.try_clone()?);
    let file = Arc::new(SpillFile::of(file));
    let (mut found, mut end) = (HashMap::<Owner, VecDeque<Described>>::new(), 0);
    let mut description = Vec::new();
    while let Some((head, bytes)) = read_head(&mut reader)? {
        let next = end + (HEAD + bytes) as u64;
        description.resize(head.description.min(bytes), 0);
        if next > length || !fill(&mut reader, &mut description)? {
            break;
        }
        if crc32c::crc32c_append(head.start, &description) != head.check {
            break;
        }
        // One that a later version has written otherwise is stepped over.
        if let Ok((owner, one)) = describe(&description, &file, end + HEAD as u64, next) {
            add(found.entry(owner).or_default(), one);
        }
        reader.seek_relative((bytes - description.len()) as i64)?;
        end = next;
    }
    file.goes_on_at(end)?;
    Ok((Arc::clone(&file), read_tiles(&file, found)?))
}

/// Reads the tiles themselves, in the order of their places. One that is damaged is left out: its rows are in the log.
fn read_tiles(file: &Arc<SpillFile>, found: HashMap<Owner, VecDeque<Described>>) -> io::Result<KeptTiles> {
    let mut tiles = KeptTiles::new();
    let mut all: Vec<(Owner, Described)> = found
        .into_iter()
        .flat_map(|(owner, all)| all.into_iter().map(move |one| (owner.clone(), one)))
        .collect();
    all.sort_unstable_by_key(|(_, one)| one.place);
    for (owner, Described { samples, first, last, name, snapshot, place, bytes }) in all {
        let Ok(tile) = Tile::parse(file.read(place, bytes)?.into()) else { continue };
        let sealed = Arc::new(Sealed::found(&tile, file, place));
        let columns = tile.columns();
        let kept = KeptTile { sealed, columns, samples, first, last, name, snapshot };
        tiles.entry(owner).or_default().push_back(kept);
    }
    Ok(tiles)
}

struct RecordHead {
    description: usize,
    /// Checksum of what stands before the one that is written.
    start: u32,
    check: u32,
}

/// The head of the next record, and how many bytes follow it.
fn read_head(reader: &mut impl Read) -> io::Result<Option<(RecordHead, usize)>> {
    let mut head = [0; HEAD];
    if !fill(reader, &mut head)? || head[..4] != MAGIC {
        return Ok(None);
    }
    let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (description, tile) = (field(4) as usize, field(8) as usize);
    // A tile of the widest layout is far smaller.
    let length = description.checked_add(tile).filter(|length| *length <= log::RECORD_MAX);
    let start = crc32c::crc32c(&head[..12]);
    Ok(length.map(|length| (RecordHead { description, start, check: field(12) }, length)))
}

/// Whether there was as much.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// What a description, which begins at `place`, says of a tile that ends at `end`.
fn describe(
    description: &[u8],
    file: &Arc<SpillFile>,
    place: u64,
    end: u64,
) -> Result<(Owner, Described), Malformed> {
    let mut reader = Reader::new(description);
    let owner = (record::id(&mut reader)?, LayoutId(reader.u128_le()?));
    let (samples, name) = (reader.varint()?, reader.u64_le()?);
    let mut sequence = || {
        let seq = reader.varint()?;
        let row = u32::try_from(reader.varint()?).map_err(|_| Malformed("a row out of range"))?;
        Ok::<_, Malformed>((seq, row))
    };
    let (first, last) = (sequence()?, sequence()?);
    let rest = reader.rest();
    let at = description.len() - rest.len();
    let snapshot = Snapshot {
        file: Arc::clone(file),
        place: place + at as u64,
        bytes: rest.len(),
        check: crc32c::crc32c(rest),
    };
    let place = place + description.len() as u64;
    let bytes = usize::try_from(end - place).map_err(|_| Malformed("a tile that is too large"))?;
    Ok((owner, Described { samples, first, last, name, snapshot, place, bytes }))
}

/// Adds a tile after those before it. Where rows were made into tiles again, the later ones count.
fn add(tiles: &mut VecDeque<Described>, next: Described) {
    while tiles.back().is_some_and(|last| last.last >= next.first) {
        tiles.pop_back();
    }
    tiles.push_back(next);
}

impl KeptTile {
    /// Whether it is made of just these rows and is as wide as the group.
    pub(crate) fn is_of(&self, rows: &[At], width: usize) -> bool {
        rows.len() == self.sealed.rows() && self.columns == width && name(rows) == self.name
    }

    /// The last of its rows, which are these.
    pub(crate) fn last_row(&self, rows: &[At], number: u64) -> Option<KeptRow> {
        let At { timestamp, sequence } = *rows.last()?;
        Some(KeptRow { number, timestamp, sequence, snapshot: self.snapshot.clone() })
    }
}

/// A tile's last row, as its file has it.
#[derive(Debug)]
pub(crate) struct KeptRow {
    number: u64,
    timestamp: i64,
    sequence: (u64, u32),
    snapshot: Snapshot,
}

impl KeptRow {
    /// The row, if it is one of so many slots.
    pub(crate) fn read(&self, width: usize) -> Option<Tail> {
        let Snapshot { file, place, bytes, check } = &self.snapshot;
        let bytes = file.read(*place, *bytes).ok().filter(|bytes| crc32c::crc32c(bytes) == *check)?;
        let (mut row, mut reader) = (RowState::empty(width), Reader::new(&bytes));
        for _ in 0..2 {
            let length = reader.count().ok()?;
            row.apply(reader.take(length).ok()?).ok()?;
        }
        (row.number, row.timestamp) = (self.number, self.timestamp);
        Some(Tail { row, sequence: self.sequence })
    }
}
