//! Blocks: up to 64 columns of one window or day.

use storage::{Cell, Summary};
use zstd::bulk::{Compressor, Decompressor};

use super::planes::{self, Column, Layout, Scratch};
use super::rest::Split;
use super::summary;
use super::{CodecError, Values, fixed};
use crate::bytes::{Malformed, Reader};

const VERSION: u8 = 2;
/// Residuals as planes of bytes, compressed with the descriptions.
const VERSION_PLANES: u8 = 1;
/// Version, columns, rows, checksum, plain length, length of the summaries; in version 1 that is all.
const HEAD_PLANES: usize = 16;
/// And the length of the compressed descriptions.
const HEAD: usize = 20;
const CHECK: std::ops::Range<usize> = 4..8;
/// Above it the encoder's time grows faster than blocks shrink.
const ZSTD_LEVEL: i32 = 3;
/// Bytes that a column may have, plain: per row 8 in planes and 12 in the list of cells.
const PLAIN_PER_ROW: usize = 20;
const PLAIN_PER_COLUMN: usize = 64;
/// A zstd block holds at most 128 KiB and takes at least 4 bytes.
const ZSTD_BLOCK: usize = 128 << 10;

/// A block whose checksum holds; not decompressed.
#[derive(Clone, Debug)]
pub struct Block<'a> {
    rows: usize,
    plain: usize,
    summaries: Vec<Summary>,
    frame: &'a [u8],
    /// The columns' residuals, where they are not in the frame.
    streams: Option<&'a [u8]>,
}

impl<'a> Block<'a> {
    /// Columns that a block may have.
    pub const COLUMNS_MAX: usize = 64;
    /// Rows that a block may have.
    pub const ROWS_MAX: usize = u16::MAX as usize;

    /// Reads a block's header.
    ///
    /// # Errors
    /// When the bytes are not those of one whole block.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let error = |Malformed(what)| CodecError::new("a block", what);
        let early = || error(Malformed("it ends too early"));
        let check = fixed(bytes, CHECK.start).map(u32::from_le_bytes).ok_or_else(early)?;
        if checksum(bytes) != check {
            return Err(error(Malformed("the checksum does not match")));
        }
        let [version, columns, low, high] = fixed(bytes, 0).ok_or_else(early)?;
        if version != VERSION && version != VERSION_PLANES {
            return Err(error(Malformed("a version that is not known here")));
        }
        let (columns, rows) = (usize::from(columns), usize::from(u16::from_le_bytes([low, high])));
        if columns == 0 || columns > Self::COLUMNS_MAX || rows == 0 {
            return Err(error(Malformed("a count of columns or rows out of range")));
        }
        let plain = fixed(bytes, 8).map(u32::from_le_bytes).ok_or_else(early)? as usize;
        let length = fixed(bytes, 12).map(u32::from_le_bytes).ok_or_else(early)? as usize;
        let head = if version == VERSION { HEAD } else { HEAD_PLANES };
        let rest = bytes.get(head..).ok_or_else(early)?;
        let (header, rest) = rest.split_at_checked(length).ok_or_else(early)?;
        let (frame, streams) = if version == VERSION {
            let length = fixed(bytes, HEAD_PLANES).map(u32::from_le_bytes).ok_or_else(early)? as usize;
            let (frame, streams) = rest.split_at_checked(length).ok_or_else(early)?;
            (frame, Some(streams))
        } else {
            (rest, None)
        };
        let most = columns * (rows * PLAIN_PER_ROW + PLAIN_PER_COLUMN);
        if plain > most || plain / ZSTD_BLOCK > frame.len() / 4 {
            return Err(error(Malformed("a plain length out of range")));
        }
        let mut reader = Reader::new(header);
        let summaries = (0..columns).map(|_| summary::read(&mut reader, rows));
        let summaries = summaries.collect::<Result<_, _>>().map_err(error)?;
        if !reader.is_empty() {
            return Err(error(Malformed("bytes after the last summary")));
        }
        Ok(Self { rows, plain, summaries, frame, streams })
    }

    /// Rows, from 1 to [`Block::ROWS_MAX`].
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// One a column, in order.
    #[must_use]
    pub fn summaries(&self) -> &[Summary] {
        &self.summaries
    }
}

/// CRC32C of all but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    let head = &bytes[..CHECK.start.min(bytes.len())];
    crc32c::crc32c_append(crc32c::crc32c(head), bytes.get(CHECK.end..).unwrap_or(&[]))
}

/// Makes blocks, column by column. Reuse one: it keeps its memory and its compressor.
pub struct BlockBuilder {
    zstd: Compressor<'static>,
    rows: usize,
    /// Columns added since the last block; those behind them are kept for their memory.
    columns: usize,
    splits: Vec<Split>,
    scratch: Scratch,
    summaries: Vec<u8>,
    plain: Vec<u8>,
    streams: Vec<u8>,
}

impl BlockBuilder {
    /// An empty builder.
    ///
    /// # Errors
    /// When there is no memory for a compressor.
    pub fn new() -> Result<Self, CodecError> {
        let zstd =
            Compressor::new(ZSTD_LEVEL).map_err(|error| CodecError::new("a new block", error.to_string()))?;
        Ok(Self {
            zstd,
            rows: 0,
            columns: 0,
            splits: Vec::new(),
            scratch: Scratch::default(),
            summaries: Vec::new(),
            plain: Vec::new(),
            streams: Vec::new(),
        })
    }

    /// Columns added since the last block.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Adds the next column, one cell a row; the first column decides how many rows there are.
    ///
    /// # Errors
    /// When the block is full, there are no rows or more than [`Block::ROWS_MAX`], or not as many as
    /// in the first column.
    pub fn column(&mut self, cells: &[Cell]) -> Result<(), CodecError> {
        let error = |what: String| CodecError::new("a new block", what);
        if self.columns == Block::COLUMNS_MAX {
            return Err(error(format!("it has {} columns already", Block::COLUMNS_MAX)));
        }
        if cells.is_empty() || cells.len() > Block::ROWS_MAX {
            return Err(error(format!("{} rows, from 1 to {}", cells.len(), Block::ROWS_MAX)));
        }
        if self.columns > 0 && cells.len() != self.rows {
            return Err(error(format!("a column of {} cells for {} rows", cells.len(), self.rows)));
        }
        if self.columns == 0 {
            self.rows = cells.len();
            self.summaries.clear();
            self.plain.clear();
            self.streams.clear();
        }
        if self.columns == self.splits.len() {
            self.splits.push(Split::default());
        }
        self.splits[self.columns].set(cells);
        let columns = &self.splits[..=self.columns];
        planes::put(columns, &mut self.scratch, &mut self.plain, &mut self.streams);
        summary::put(&Summary::of(cells), self.rows, &mut self.summaries);
        self.columns += 1;
        Ok(())
    }

    /// The block of the columns added; the builder is empty again.
    ///
    /// # Errors
    /// When no column was added, or there is no memory for the compressor.
    pub fn finish(&mut self) -> Result<Vec<u8>, CodecError> {
        let error = |what: String| CodecError::new("a new block", what);
        let columns = std::mem::take(&mut self.columns);
        if columns == 0 {
            return Err(error("no columns were given".to_owned()));
        }
        let frame = self.zstd.compress(&self.plain).map_err(|zstd| error(zstd.to_string()))?;
        let length = HEAD + self.summaries.len() + frame.len() + self.streams.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&[VERSION, columns as u8]);
        bytes.extend_from_slice(&(self.rows as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(self.plain.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(self.summaries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.summaries);
        bytes.extend_from_slice(&frame);
        bytes.extend_from_slice(&self.streams);
        let check = checksum(&bytes);
        bytes[CHECK].copy_from_slice(&check.to_le_bytes());
        Ok(bytes)
    }
}

/// Decompresses blocks. Reuse one: it keeps its memory and its decompressor.
pub struct BlockReader {
    zstd: Decompressor<'static>,
    plain: Vec<u8>,
}

impl BlockReader {
    /// A reader of any number of blocks, one after the other.
    ///
    /// # Errors
    /// When there is no memory for a decompressor.
    pub fn new() -> Result<Self, CodecError> {
        let zstd = Decompressor::new().map_err(|error| CodecError::new("a block", error.to_string()))?;
        Ok(Self { zstd, plain: Vec::new() })
    }

    /// Bytes that it keeps for the next block.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.plain.capacity()
    }

    /// Decompresses a block.
    ///
    /// # Errors
    /// When its bytes contradict themselves, which takes a writer other than [`BlockBuilder`].
    pub fn open<'a>(&'a mut self, block: &Block<'a>) -> Result<Columns<'a>, CodecError> {
        let error = |what: &str| CodecError::new("a block", what);
        self.plain.clear();
        self.plain.reserve_exact(block.plain);
        let length = self.zstd.decompress_to_buffer(block.frame, &mut self.plain);
        if length.is_err() || self.plain.len() != block.plain {
            return Err(error("it does not decompress to the length written"));
        }
        let (rows, count) = (block.rows, block.summaries.len());
        let layout = block.streams.map_or(Layout::Planes, |streams| Layout::Streams(streams.len()));
        let columns =
            planes::read(&self.plain, count, rows, layout).map_err(|Malformed(what)| error(what))?;
        let mut needed = vec![false; count];
        for (at, column) in columns.iter().enumerate() {
            if let Some(distance) = column.neighbour() {
                needed[at - distance] = true;
            }
        }
        let ints = vec![Vec::new(); count];
        Ok(Columns {
            rows,
            bytes: block.streams.unwrap_or(&self.plain),
            columns,
            needed,
            ints,
            spare: Vec::new(),
            residuals: Vec::new(),
        })
    }
}

/// The columns of a decompressed block. Reading them in order is fastest.
pub struct Columns<'a> {
    rows: usize,
    /// Where the residuals are.
    bytes: &'a [u8],
    columns: Vec<Column>,
    /// Whether another column is predicted from this one.
    needed: Vec<bool>,
    /// Integers of the columns that were read and are needed.
    ints: Vec<Vec<i64>>,
    spare: Vec<i64>,
    residuals: Vec<i64>,
}

impl Columns<'_> {
    /// Appends the cells of column `at`, one a row.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn cells(&mut self, at: usize, out: &mut Vec<Cell>) -> Result<(), CodecError> {
        if let Some(number) = self.columns.get(at).and_then(Column::uniform) {
            out.resize(out.len() + self.rows, Cell::Value(number));
            return Ok(());
        }
        self.load(at).map_err(CodecError::in_column("a block", at))?;
        let column = &self.columns[at];
        column.rest.cells(column.form, &self.ints[at], self.rows, out);
        self.unload(at);
        Ok(())
    }

    /// Replaces `out` by the values of column `at`.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn values(&mut self, at: usize, out: &mut Values) -> Result<(), CodecError> {
        out.clear();
        if let Some(number) = self.columns.get(at).and_then(Column::uniform) {
            out.set_uniform(Cell::Value(number), self.rows);
            return Ok(());
        }
        self.load(at).map_err(CodecError::in_column("a block", at))?;
        let column = &self.columns[at];
        column.rest.values(column.form, &self.ints[at], self.rows, out);
        self.unload(at);
        Ok(())
    }

    /// The bits that every row of column `at` has; where they differ, replaces `out` by its values.
    ///
    /// # Errors
    /// As [`Columns::values`].
    pub fn constant_or_values(&mut self, at: usize, out: &mut Values) -> Result<Option<u64>, CodecError> {
        match self.columns.get(at).and_then(Column::uniform) {
            Some(number) => Ok(Some(number.to_bits())),
            None => self.values(at, out).map(|()| None),
        }
    }

    /// Reads the integers of column `at` and of those that it is predicted from.
    fn load(&mut self, at: usize) -> Result<(), Malformed> {
        // From the column itself back to one that needs no other, or is here already.
        let mut chain = Vec::new();
        let mut next = Some(at);
        while let Some(place) = next {
            let column = self.columns.get(place).ok_or(Malformed("the block does not have it"))?;
            if !self.ints[place].is_empty() {
                break;
            }
            chain.push(place);
            next = column.neighbour().map(|distance| place - distance);
        }
        for place in chain.into_iter().rev() {
            let column = &self.columns[place];
            let mut ints = std::mem::take(&mut self.spare);
            ints.clear();
            let other = column.neighbour().map_or(&[][..], |distance| &self.ints[place - distance]);
            column.ints(self.bytes, other, &mut self.residuals, &mut ints)?;
            self.ints[place] = ints;
        }
        Ok(())
    }

    /// Takes the memory of a column's integers back, unless another column needs them.
    fn unload(&mut self, at: usize) {
        if !self.needed[at] {
            self.spare = std::mem::take(&mut self.ints[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Number;

    use super::planes::version_1;
    use super::*;
    use crate::codec::cell_bits;

    /// A block as version 1 had it.
    fn old_block(columns: &[Vec<Cell>]) -> Vec<u8> {
        let (mut splits, mut scratch) = (Vec::new(), Scratch::default());
        let (mut plain, mut residuals, mut summaries) = (Vec::new(), Vec::new(), Vec::new());
        for cells in columns {
            let mut split = Split::default();
            split.set(cells);
            splits.push(split);
            residuals.push(version_1::put(&splits, &mut scratch, &mut plain));
            summary::put(&Summary::of(cells), cells.len(), &mut summaries);
        }
        version_1::put_planes(&residuals, &mut plain);
        let mut bytes = vec![VERSION_PLANES, columns.len() as u8];
        bytes.extend_from_slice(&(columns[0].len() as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(summaries.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&summaries);
        bytes.extend_from_slice(&zstd::bulk::compress(&plain, ZSTD_LEVEL).expect("compresses"));
        let check = checksum(&bytes);
        bytes[CHECK].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn any_cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            4 => (-9i64..9).prop_map(|number| Cell::Value(Number::from_f64(number as f64 / 4.0))),
            2 => any::<u64>().prop_map(|bits| Cell::Value(Number::from_f64(f64::from_bits(bits)))),
            2 => (0i64..1 << 40).prop_map(|number| Cell::Value(Number::from_f64(number as f64 * 0.001))),
            1 => Just(Cell::Absent),
            1 => Just(Cell::Stale),
        ]
    }

    proptest! {
        #[test]
        fn blocks_of_version_1_are_still_read(
            columns in (1usize..150).prop_flat_map(|rows| {
                prop::collection::vec(prop::collection::vec(any_cell(), rows), 1..9)
            }),
        ) {
            let bytes = old_block(&columns);
            let block = Block::parse(&bytes).expect("whole");
            let mut reader = BlockReader::new().expect("memory");
            let mut read = reader.open(&block).expect("opens");
            for (at, column) in columns.iter().enumerate().rev() {
                let mut cells = Vec::new();
                read.cells(at, &mut cells).expect("cells");
                let bits = |cells: &[Cell]| cells.iter().map(|cell| (*cell == Cell::Absent, cell_bits(*cell))).collect::<Vec<_>>();
                prop_assert_eq!(bits(&cells), bits(column));
            }
        }
    }
}
