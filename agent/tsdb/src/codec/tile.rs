//! Tiles: up to 128 rows of one layout, every column readable by itself.

use std::sync::Arc;

use storage::Cell;

use super::bits::PACKED_MAX;
use super::form::Form;
use super::rest::{Rest, Split};
use super::{CodecError, Values, fixed, ints};
use crate::bytes::{Malformed, Reader};

const VERSION: u8 = 1;
const FLAG_WIDE: u8 = 1;
/// Version, flags, rows, zero, columns, length of the timestamps.
const HEAD: usize = 12;
/// The checksum at the end.
const CHECK: usize = 4;
/// The bits that a column's head has.
const HEAD_BITS: u8 = 0x7b;

/// A sealed run of rows. Cheap to clone; never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    bytes: Arc<[u8]>,
    rows: usize,
    columns: usize,
    /// Bytes of an entry of the table.
    entry: usize,
    /// Where the table of columns' ends starts, and where what it points into does.
    table: usize,
    payload: usize,
}

impl Tile {
    /// Rows that a tile may have.
    pub const ROWS_MAX: usize = PACKED_MAX;

    /// A tile that came from a disk or a network.
    ///
    /// # Errors
    /// When the bytes are not those of one whole tile.
    pub fn parse(bytes: Arc<[u8]>) -> Result<Self, CodecError> {
        let error = |what: &str| CodecError::new("a tile", what);
        let (body, check) = bytes.split_last_chunk::<CHECK>().ok_or_else(|| error("it ends too early"))?;
        if crc32c::crc32c(body) != u32::from_le_bytes(*check) {
            return Err(error("the checksum does not match"));
        }
        Self::checked(bytes).map_err(|Malformed(what)| error(what))
    }

    /// A tile whose checksum holds.
    fn checked(bytes: Arc<[u8]>) -> Result<Self, Malformed> {
        let early = Malformed("it ends too early");
        let [version, flags, rows, zero] = fixed(&bytes, 0).ok_or(early)?;
        if version != VERSION || flags & !FLAG_WIDE != 0 || zero != 0 {
            return Err(Malformed("a version that is not known here"));
        }
        let rows = usize::from(rows);
        if rows == 0 || rows > Self::ROWS_MAX {
            return Err(Malformed("a count of rows out of range"));
        }
        let columns = fixed(&bytes, 4).map(u32::from_le_bytes).ok_or(early)? as usize;
        let times = fixed(&bytes, 8).map(u32::from_le_bytes).ok_or(early)? as usize;
        let entry = if flags & FLAG_WIDE == 0 { 2 } else { 4 };
        let table = HEAD.checked_add(times).ok_or(early)?;
        let payload = columns.checked_mul(entry).and_then(|length| table.checked_add(length)).ok_or(early)?;
        if payload > bytes.len().saturating_sub(CHECK) {
            return Err(early);
        }
        Ok(Self { bytes, rows, columns, entry, table, payload })
    }

    /// What [`Tile::parse`] takes.
    #[must_use]
    pub fn bytes(&self) -> &Arc<[u8]> {
        &self.bytes
    }

    /// Rows, from 1 to [`Tile::ROWS_MAX`].
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns, as many as its layout had slots.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Appends one timestamp a row, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// When the bytes contradict themselves, which takes a writer other than [`TileBuilder`].
    pub fn timestamps(&self, out: &mut Vec<i64>) -> Result<(), CodecError> {
        let error = |Malformed(what)| CodecError::new("a tile's timestamps", what);
        let mut reader = Reader::new(&self.bytes[HEAD..self.table]);
        let head = reader.byte().map_err(error)?;
        let start = out.len();
        out.resize(start + self.rows, 0);
        let read = ints::read(&mut reader, head, &mut out[start..]);
        read.inspect_err(|_| out.truncate(start)).map_err(error)
    }

    /// Appends the cells of column `at`, one a row.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn cells(&self, at: usize, out: &mut Vec<Cell>) -> Result<(), CodecError> {
        self.part(at).and_then(|part| part.cells(out)).map_err(CodecError::in_column("a tile", at))
    }

    /// Replaces `out` by the values of column `at`.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn values(&self, at: usize, out: &mut Values) -> Result<(), CodecError> {
        out.clear();
        let Some(mut column) = self.column(at)? else {
            out.bits.resize(self.rows, 0);
            out.present.resize(self.rows.div_ceil(64), 0);
            return Ok(());
        };
        let error = CodecError::in_column("a tile", at);
        if column.is_uniform() {
            out.set_uniform(column.last().map_err(error)?, self.rows);
            return Ok(());
        }
        let mut ints = [0; PACKED_MAX];
        let ints = column.ints(&mut ints).map_err(error)?;
        column.rest.values(column.form, ints, self.rows, out);
        Ok(())
    }

    /// The last cell of column `at` that is not absent, and its row; without decoding the others.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn last(&self, at: usize) -> Result<Option<(usize, Cell)>, CodecError> {
        self.part(at).and_then(|part| part.last()).map_err(CodecError::in_column("a tile", at))
    }

    /// Where the columns begin in [`Tile::bytes`].
    pub(crate) fn payload_start(&self) -> usize {
        self.payload
    }

    /// The bytes of all columns, one after the other.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.payload..self.bytes.len() - CHECK]
    }

    /// Where each column ends in [`Tile::payload`].
    pub(crate) fn ends(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns).map(|at| self.end(at))
    }

    /// The cell that column `at` has in every row, if it has one; without decoding.
    ///
    /// # Errors
    /// When there is no such column, or its bytes contradict themselves.
    pub fn constant(&self, at: usize) -> Result<Option<Cell>, CodecError> {
        let Some(mut column) = self.column(at)? else { return Ok(Some(Cell::Absent)) };
        if !column.is_uniform() {
            return Ok(None);
        }
        column.last().map(Some).map_err(CodecError::in_column("a tile", at))
    }

    /// Column `at`; none where it is absent in every row.
    fn column(&self, at: usize) -> Result<Option<Column<'_>>, CodecError> {
        self.part(at).and_then(Part::column).map_err(CodecError::in_column("a tile", at))
    }

    /// Column `at` by its bytes.
    pub(crate) fn part(&self, at: usize) -> Result<Part<'_>, Malformed> {
        if at >= self.columns {
            return Err(Malformed("the tile does not have it"));
        }
        let start = if at == 0 { 0 } else { self.end(at - 1) };
        let bytes = self.payload().get(start..self.end(at)).ok_or(Malformed("it ends outside the tile"))?;
        Ok(Part { bytes, rows: self.rows })
    }

    /// Where column `at`, which is in the table, ends.
    fn end(&self, at: usize) -> usize {
        let place = self.table + at * self.entry;
        let entry = &self.bytes[place..place + self.entry];
        entry.iter().rev().fold(0, |end, byte| end << 8 | usize::from(*byte))
    }
}

/// One column of a tile, by its bytes alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'a> {
    bytes: &'a [u8],
    rows: usize,
}

impl<'a> Part<'a> {
    /// The part of a tile of `rows` rows whose bytes these are.
    pub(crate) fn new(bytes: &'a [u8], rows: usize) -> Self {
        Self { bytes, rows }
    }

    /// None where every row is absent.
    fn column(self) -> Result<Option<Column<'a>>, Malformed> {
        if self.bytes.is_empty() { Ok(None) } else { Column::read(self.bytes, self.rows).map(Some) }
    }

    /// Appends its cells, one a row.
    pub(crate) fn cells(self, out: &mut Vec<Cell>) -> Result<(), Malformed> {
        let Some(mut column) = self.column()? else {
            out.resize(out.len() + self.rows, Cell::Absent);
            return Ok(());
        };
        if column.is_uniform() {
            out.resize(out.len() + self.rows, column.last()?);
            return Ok(());
        }
        let mut ints = [0; PACKED_MAX];
        let ints = column.ints(&mut ints)?;
        column.rest.cells(column.form, ints, self.rows, out);
        Ok(())
    }

    /// The cell that every row has; where they differ, replaces `out` by its values.
    pub(crate) fn constant_or_values(self, out: &mut Values) -> Result<Option<Cell>, Malformed> {
        out.clear();
        let Some(mut column) = self.column()? else { return Ok(Some(Cell::Absent)) };
        if column.is_uniform() {
            return column.last().map(Some);
        }
        let mut ints = [0; PACKED_MAX];
        let ints = column.ints(&mut ints)?;
        column.rest.values(column.form, ints, self.rows, out);
        Ok(None)
    }

    /// Its last cell that is not absent, and that one's row; without decoding the others.
    pub(crate) fn last(self) -> Result<Option<(usize, Cell)>, Malformed> {
        let Some(mut column) = self.column()? else { return Ok(None) };
        let Some((row, listed)) = column.rest.last(self.rows) else { return Ok(None) };
        let cell = match listed {
            Some(cell) => cell,
            None => column.last()?,
        };
        Ok(Some((row, cell)))
    }
}

/// A column's bytes up to its integers.
struct Column<'a> {
    form: Form,
    head: u8,
    rest: Rest,
    reader: Reader<'a>,
}

impl<'a> Column<'a> {
    fn read(bytes: &'a [u8], rows: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let form = Form::from_code(reader.byte()?)?;
        let head = reader.byte()?;
        if head & !HEAD_BITS != 0 {
            return Err(Malformed("an unknown column head"));
        }
        let rest = Rest::read(&mut reader, head, rows)?;
        Ok(Self { form, head, rest, reader })
    }

    /// Whether every row has the same value.
    fn is_uniform(&self) -> bool {
        self.rest.is_empty() && self.head & ints::HEAD_PREDICTOR == ints::CONSTANT
    }

    fn ints<'o>(&self, out: &'o mut [i64; PACKED_MAX]) -> Result<&'o [i64], Malformed> {
        let out = out.get_mut(..self.rest.ints).ok_or(Malformed("a count of rows out of range"))?;
        ints::read(&mut self.reader.clone(), self.head, out)?;
        if self.form.admits(out) { Ok(out) } else { Err(Malformed("a decimal out of range")) }
    }

    fn last(&mut self) -> Result<Cell, Malformed> {
        let int = ints::last(&mut self.reader, self.head, self.rest.ints)?;
        let out_of_range = Malformed("a decimal out of range");
        self.form.admits(&[int]).then(|| Cell::Value(self.form.number(int))).ok_or(out_of_range)
    }
}

/// Makes tiles, column by column. Reuse one: it keeps its memory.
#[derive(Debug, Default)]
pub struct TileBuilder {
    rows: usize,
    times: Vec<u8>,
    ends: Vec<u32>,
    payload: Vec<u8>,
    split: Split,
    cells: Vec<Cell>,
}

impl TileBuilder {
    /// Begins a tile with these timestamps, one a row; what was begun before is dropped.
    ///
    /// # Errors
    /// When there is no row, or more than [`Tile::ROWS_MAX`].
    pub fn begin(&mut self, timestamps: &[i64]) -> Result<(), CodecError> {
        self.rows = 0;
        self.ends.clear();
        self.payload.clear();
        self.times.clear();
        if timestamps.is_empty() || timestamps.len() > Tile::ROWS_MAX {
            let what = format!("{} rows, from 1 to {}", timestamps.len(), Tile::ROWS_MAX);
            return Err(CodecError::new("a new tile", what));
        }
        self.rows = timestamps.len();
        self.times.push(0);
        self.times[0] = ints::put(timestamps, &mut self.times);
        Ok(())
    }

    /// Adds the next column, one cell a row.
    ///
    /// # Errors
    /// When there is not one cell a row, or the tile would reach 4 GiB.
    pub fn column(&mut self, cells: &[Cell]) -> Result<(), CodecError> {
        if cells.len() != self.rows {
            let what = format!("a column of {} cells for {} rows", cells.len(), self.rows);
            return Err(CodecError::new("a new tile", what));
        }
        if cells.iter().any(|cell| *cell != Cell::Absent) {
            self.split.set(cells);
            let start = self.payload.len();
            self.payload.extend_from_slice(&[self.split.form.code(), 0]);
            let rest = self.split.put_rest(&mut self.payload);
            self.payload[start + 1] = rest | ints::put(&self.split.ints, &mut self.payload);
        }
        self.end_column()
    }

    /// Adds the next column, with this cell in each row.
    ///
    /// # Errors
    /// As [`TileBuilder::column`].
    pub(crate) fn constant(&mut self, cell: Cell) -> Result<(), CodecError> {
        let int = match cell {
            Cell::Value(number) => Form::of(number).int(number).map(|int| (Form::of(number), int)),
            Cell::Absent | Cell::Stale => None,
        };
        let Some((form, int)) = int else {
            let cells = vec![cell; self.rows];
            return self.column(&cells);
        };
        self.payload.extend_from_slice(&[form.code(), 0]);
        // One integer is written as many equal ones are.
        let head = self.payload.len() - 1;
        self.payload[head] = ints::put(&[int], &mut self.payload);
        self.end_column()
    }

    fn end_column(&mut self) -> Result<(), CodecError> {
        let end =
            u32::try_from(self.payload.len()).map_err(|_| CodecError::new("a new tile", "over 4 GiB"))?;
        self.ends.push(end);
        Ok(())
    }

    /// The tile of the columns added since [`TileBuilder::begin`].
    ///
    /// # Errors
    /// When nothing was begun.
    pub fn finish(&mut self) -> Result<Tile, CodecError> {
        let error = |what: &str| CodecError::new("a new tile", what);
        if self.rows == 0 {
            return Err(error("no rows were given"));
        }
        let columns = u32::try_from(self.ends.len()).map_err(|_| error("too many columns"))?;
        let wide = self.payload.len() > usize::from(u16::MAX);
        let entry = if wide { 4 } else { 2 };
        let length = HEAD + self.times.len() + self.ends.len() * entry + self.payload.len() + CHECK;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&[VERSION, u8::from(wide) * FLAG_WIDE, self.rows as u8, 0]);
        bytes.extend_from_slice(&columns.to_le_bytes());
        bytes.extend_from_slice(&(self.times.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.times);
        for end in &self.ends {
            bytes.extend_from_slice(&end.to_le_bytes()[..entry]);
        }
        bytes.extend_from_slice(&self.payload);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        self.rows = 0;
        Tile::checked(bytes.into()).map_err(|Malformed(what)| error(what))
    }

    /// The tile of whole rows, one cell a column each.
    ///
    /// # Errors
    /// When there is not one row for each timestamp, rows differ in width, or there are no rows or
    /// more than [`Tile::ROWS_MAX`].
    pub fn rows(&mut self, timestamps: &[i64], rows: &[&[Cell]]) -> Result<Tile, CodecError> {
        self.begin(timestamps)?;
        let columns = rows.first().map_or(0, |row| row.len());
        if rows.len() != timestamps.len() || rows.iter().any(|row| row.len() != columns) {
            return Err(CodecError::new(
                "a new tile",
                "rows of different widths, or not one for each timestamp",
            ));
        }
        let mut cells = std::mem::take(&mut self.cells);
        for at in 0..columns {
            cells.clear();
            cells.extend(rows.iter().map(|row| row[at]));
            self.column(&cells)?;
        }
        self.cells = cells;
        self.finish()
    }
}
