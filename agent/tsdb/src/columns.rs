//! What the columns of batches come from: tiles, open rows and sealed blocks, each decoded when it is asked for,
//! and what had to be put together from several of them.

use std::sync::{Arc, OnceLock};

use model::AnyHistogram;
use storage::{Cell, ColumnSource, FloatColumn, Floats, Histograms, Present, QueryError};

use crate::bytes::Malformed;
use crate::codec::{Block, BlockReader, CodecError, Part, Tile, Values};
use crate::run::{At, Point};
use crate::window::cell_bits;

/// Columns of a tile: what was in a file has been read and checked.
#[derive(Debug)]
pub(crate) struct TileColumns {
    held: Held,
    /// The rows that count.
    from: usize,
    to: usize,
}

#[derive(Debug)]
pub(crate) enum Held {
    Tile {
        tile: Tile,
        slots: Arc<[u32]>,
    },
    /// Bytes out of a file, and where each column is in them.
    Read {
        bytes: Vec<u8>,
        columns: Vec<(u32, u32)>,
        rows: usize,
    },
}

impl TileColumns {
    pub(crate) fn new(held: Held, from: usize, rows: usize) -> Self {
        Self { held, from, to: from + rows }
    }

    /// Bytes that nobody else holds.
    pub(crate) fn bytes(&self) -> usize {
        match &self.held {
            Held::Tile { .. } => 0,
            Held::Read { bytes, columns, .. } => bytes.len() + columns.len() * 8,
        }
    }

    fn part(&self, column: usize) -> Result<Part<'_>, Malformed> {
        let unknown = Malformed("the tile does not have that column");
        match &self.held {
            Held::Tile { tile, slots } => tile.part(*slots.get(column).ok_or(unknown)? as usize),
            Held::Read { bytes, columns, rows } => {
                let (start, end) = *columns.get(column).ok_or(unknown)?;
                Ok(Part::new(bytes.get(start as usize..end as usize).ok_or(unknown)?, *rows))
            }
        }
    }
}

impl ColumnSource for TileColumns {
    fn floats<'a>(&'a self, column: usize, scratch: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        let uniform = decode(scratch, |values| self.part(column)?.constant_or_values(values));
        if let Some(cell) = uniform.map_err(unreadable)? {
            return Ok(constant(cell));
        }
        Ok(scratch.rows(self.from..self.to))
    }

    fn last(
        &self,
        column: usize,
        rows: usize,
        scratch: &mut Floats,
    ) -> Result<Option<(usize, f64)>, QueryError> {
        let Some((row, cell)) = self.part(column).and_then(Part::last).map_err(unreadable)? else {
            return Ok(None);
        };
        match cell_bits(cell) {
            Some(bits) if (self.from..self.to).contains(&row) => {
                Ok(Some((row - self.from, f64::from_bits(bits))))
            }
            Some(_) if row < self.from => Ok(None),
            _ => Ok(self.floats(column, scratch)?.last(rows)),
        }
    }
}

fn unreadable(Malformed(what): Malformed) -> QueryError {
    QueryError::Unavailable(format!("a tile of the head: {what}"))
}

/// Decodes a column, keeping the memory of the one before.
fn decode<T, E>(scratch: &mut Floats, decoder: impl FnOnce(&mut Values) -> Result<T, E>) -> Result<T, E> {
    scratch.decode(|bits, present| {
        let mut values = Values { bits: std::mem::take(bits), present: std::mem::take(present) };
        let said = decoder(&mut values);
        (*bits, *present) = (values.bits, values.present);
        said
    })
}

/// Columns of rows that were open when they were asked for.
#[derive(Debug, Default)]
pub(crate) struct OpenColumns {
    rows: usize,
    rows_max: usize,
    columns: Vec<OpenColumn>,
    /// The columns that change. Their values stand one after the other, each of `rows_max` rows.
    moving: Vec<u32>,
    values: Vec<f64>,
    present: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
enum OpenColumn {
    /// As the first row had it.
    Same(Cell),
    /// The place among those that change.
    Moving(u32),
}

impl OpenColumns {
    /// No rows yet, at most so many; `moves` tells which columns may change after the first.
    pub(crate) fn new(moves: impl Iterator<Item = bool>, rows_max: usize) -> Self {
        let mut moving = Vec::new();
        let column = |(at, moves): (u32, bool)| {
            if !moves {
                return OpenColumn::Same(Cell::Absent);
            }
            moving.push(at);
            OpenColumn::Moving(moving.len() as u32 - 1)
        };
        let columns = (0..).zip(moves).map(column).collect();
        let values = vec![0.0; moving.len() * rows_max];
        let present = vec![0; moving.len() * rows_max.div_ceil(64)];
        Self { rows: 0, rows_max, columns, moving, values, present }
    }

    /// Adds a row, of which `cell` tells each column's cell.
    pub(crate) fn push(&mut self, cell: impl Fn(usize) -> Cell) {
        let (row, words) = (self.rows, self.rows_max.div_ceil(64));
        if row == 0 {
            for (at, column) in self.columns.iter_mut().enumerate() {
                if let OpenColumn::Same(known) = column {
                    *known = cell(at);
                }
            }
        }
        for (place, &column) in self.moving.iter().enumerate() {
            if let Some(bits) = cell_bits(cell(column as usize)) {
                self.values[place * self.rows_max + row] = f64::from_bits(bits);
                self.present[place * words + row / 64] |= 1 << (row % 64);
            }
        }
        self.rows += 1;
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes that it takes up.
    pub(crate) fn bytes(&self) -> usize {
        self.columns.len() * size_of::<OpenColumn>() + (self.values.len() + self.present.len()) * 8
    }

    /// Whether a column has a sample.
    pub(crate) fn has_any(&self, column: usize) -> bool {
        self.column(column).count(self.rows) > 0
    }

    /// A column's samples.
    pub(crate) fn points(&self, column: usize, rows: &[At], out: &mut Vec<Point>) {
        points_of(&self.column(column), rows, out);
    }

    fn column(&self, column: usize) -> FloatColumn<'_> {
        match self.columns.get(column) {
            None => FloatColumn::Absent,
            Some(OpenColumn::Same(cell)) => constant(*cell),
            Some(OpenColumn::Moving(place)) => {
                let (place, words) = (*place as usize, self.rows_max.div_ceil(64));
                let values = &self.values[place * self.rows_max..][..self.rows];
                let present = Present::new(&self.present[place * words..][..words], 0..self.rows);
                FloatColumn::Values { values, present }
            }
        }
    }
}

impl ColumnSource for OpenColumns {
    fn floats<'a>(&'a self, column: usize, _: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        Ok(self.column(column))
    }
}

/// What a thread keeps of a reader's memory between blocks, at most.
const READER_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static READER: std::cell::Cell<Option<BlockReader>> = const { std::cell::Cell::new(None) };
}

/// Columns of a sealed block whose checksum holds; decompressed once, when the first is asked for of which its
/// header does not say enough.
pub(crate) struct BlockColumns {
    bytes: Vec<u8>,
    /// Positions in the block, and what the header says.
    columns: Vec<(u8, Known)>,
    from: usize,
    to: usize,
    decoded: OnceLock<Vec<Decoded>>,
    damaged: Damaged,
}

/// Told when bytes contradict themselves although their checksum holds.
pub(crate) type Damaged = Box<dyn Fn(&CodecError) + Send + Sync>;

/// What is known of a column before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Known {
    Nothing,
    Absent,
    Constant(f64),
}

impl std::fmt::Debug for BlockColumns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockColumns").field("columns", &self.columns).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Decoded {
    /// It need not be.
    Known,
    Constant(f64),
    Values(Floats),
}

impl BlockColumns {
    pub(crate) fn new(
        bytes: Vec<u8>,
        columns: Vec<(u8, Known)>,
        (from, to): (usize, usize),
        damaged: Damaged,
    ) -> Self {
        Self { bytes, columns, from, to, decoded: OnceLock::new(), damaged }
    }

    /// Bytes that it holds, decoded columns among them: all that are wanted are decoded together.
    pub(crate) fn bytes(&self, rows: usize) -> usize {
        let decoded = self.columns.iter().filter(|(_, known)| *known == Known::Nothing).count();
        self.bytes.len() + decoded * (rows * 8 + rows.div_ceil(64) * 8)
    }

    /// Decodes all columns that must be.
    pub(crate) fn decode_now(&self) -> Result<(), CodecError> {
        let decoded = self.decode()?;
        self.decoded.get_or_init(|| decoded);
        Ok(())
    }

    fn decode(&self) -> Result<Vec<Decoded>, CodecError> {
        let block = Block::parse(&self.bytes)?;
        // A decompressor takes up more than most blocks: a thread keeps one.
        let mut reader = match READER.take() {
            Some(reader) => reader,
            None => BlockReader::new()?,
        };
        let decoded = self.decode_with(&block, &mut reader);
        if reader.bytes() <= READER_BYTES_MAX {
            READER.set(Some(reader));
        }
        decoded
    }

    fn decode_with(&self, block: &Block<'_>, reader: &mut BlockReader) -> Result<Vec<Decoded>, CodecError> {
        let mut columns = reader.open(block)?;
        let mut decoded = Vec::with_capacity(self.columns.len());
        for (column, known) in &self.columns {
            if *known != Known::Nothing {
                decoded.push(Decoded::Known);
                continue;
            }
            let mut floats = Floats::default();
            let constant =
                decode(&mut floats, |values| columns.constant_or_values(usize::from(*column), values))?;
            decoded.push(match constant {
                Some(bits) => Decoded::Constant(f64::from_bits(bits)),
                None => Decoded::Values(floats),
            });
        }
        Ok(decoded)
    }
}

impl ColumnSource for BlockColumns {
    fn floats<'a>(&'a self, column: usize, _: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        match self.columns.get(column) {
            None | Some((_, Known::Absent)) => return Ok(FloatColumn::Absent),
            Some((_, Known::Constant(value))) => return Ok(FloatColumn::Constant(*value)),
            Some((_, Known::Nothing)) => {}
        }
        // Of a damaged block no column is given.
        let decoded = self.decoded.get_or_init(|| {
            self.decode().unwrap_or_else(|error| {
                (self.damaged)(&error);
                Vec::new()
            })
        });
        Ok(match decoded.get(column) {
            None | Some(Decoded::Known) => FloatColumn::Absent,
            Some(Decoded::Constant(value)) => FloatColumn::Constant(*value),
            Some(Decoded::Values(floats)) => floats.rows(self.from..self.to),
        })
    }
}

/// Some columns of another source.
#[derive(Debug)]
pub(crate) struct PickedColumns {
    pub(crate) of: Arc<dyn ColumnSource>,
    pub(crate) columns: Vec<u32>,
}

impl ColumnSource for PickedColumns {
    fn floats<'a>(&'a self, column: usize, scratch: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        match self.columns.get(column) {
            Some(column) => self.of.floats(*column as usize, scratch),
            None => Ok(FloatColumn::Absent),
        }
    }

    fn last(
        &self,
        column: usize,
        rows: usize,
        scratch: &mut Floats,
    ) -> Result<Option<(usize, f64)>, QueryError> {
        match self.columns.get(column) {
            Some(column) => self.of.last(*column as usize, rows, scratch),
            None => Ok(None),
        }
    }
}

/// One series, put together.
#[derive(Debug)]
pub(crate) enum Merged {
    Numbers(Vec<f64>),
    Histograms(Histograms),
}

impl Merged {
    /// Bytes that it holds, about.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Numbers(values) => values.len() * 8,
            Self::Histograms(cells) => {
                cells.iter().flatten().map(|histogram| histogram_bytes(histogram)).sum()
            }
        }
    }
}

fn histogram_bytes(histogram: &AnyHistogram) -> usize {
    let buckets = match histogram {
        AnyHistogram::Integer(histogram) => {
            histogram.negative.counts().len() + histogram.positive.counts().len()
        }
        AnyHistogram::Float(histogram) => {
            histogram.negative.counts().len() + histogram.positive.counts().len()
        }
    };
    size_of::<AnyHistogram>() + buckets * 8
}

impl ColumnSource for Merged {
    fn floats<'a>(&'a self, _: usize, scratch: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        let Self::Numbers(values) = self else { return Ok(FloatColumn::Absent) };
        scratch.reset(values.len());
        values.iter().enumerate().for_each(|(row, value)| scratch.set(row, *value));
        Ok(scratch.rows(0..values.len()))
    }

    fn histograms(&self, _: usize) -> Result<Option<Histograms>, QueryError> {
        Ok(match self {
            Self::Numbers(_) => None,
            Self::Histograms(cells) => Some(Arc::clone(cells)),
        })
    }
}

/// Samples of a column with the rows that they came with.
pub(crate) fn points_of(column: &FloatColumn<'_>, rows: &[At], out: &mut Vec<Point>) {
    out.reserve(column.count(rows.len()));
    column.for_each(rows.len(), |row, value| {
        let At { timestamp, sequence } = rows[row];
        out.push(Point { timestamp, bits: value.to_bits(), sequence });
    });
}

fn constant(cell: Cell) -> FloatColumn<'static> {
    cell_bits(cell).map_or(FloatColumn::Absent, |bits| FloatColumn::Constant(f64::from_bits(bits)))
}
