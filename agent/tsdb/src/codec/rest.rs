//! The cells of a column that are none of its integers: absent, stale, or numbers of another form.

use storage::{Cell, Number};

use super::form::Form;
use super::{Values, cell_bits};
use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};

/// Set in a column's head where a bitmap of absent rows follows.
pub(super) const HEAD_BITMAP: u8 = 1 << 3;
/// Set in a column's head where a list of cells follows.
pub(super) const HEAD_LIST: u8 = 1 << 4;

// The codes of FORMAT.md's frame bodies.
const CODE_ABSENT: u8 = 0;
const CODE_STALE: u8 = 1;
const CODE_RAW: u8 = 2;
const CODE_DECIMAL: u8 = 3;

/// A column taken apart.
#[derive(Debug)]
pub(super) struct Split {
    pub(super) form: Form,
    /// Of the rows that `rest` does not have, in order.
    pub(super) ints: Vec<i64>,
    /// Row and cell, in order of row.
    pub(super) rest: Vec<(u32, Cell)>,
}

impl Default for Split {
    fn default() -> Self {
        Self { form: Form::Decimal(0), ints: Vec::new(), rest: Vec::new() }
    }
}

impl Split {
    /// Takes a column apart, in the form that is cheapest for it.
    pub(super) fn set(&mut self, cells: &[Cell]) {
        self.ints.clear();
        self.rest.clear();
        if let (Some(Cell::Value(number)), true) = (cells.first(), uniform(cells)) {
            self.form = Form::of(*number);
            if let Some(int) = self.form.int(*number) {
                return self.ints.resize(cells.len(), int);
            }
        }
        if self.decimals(cells) {
            return;
        }
        self.form = Form::choose(cells);
        for (row, &cell) in (0u32..).zip(cells) {
            let int = if let Cell::Value(number) = cell { self.form.int(number) } else { None };
            match int {
                Some(int) => self.ints.push(int),
                None => self.rest.push((row, cell)),
            }
        }
    }

    /// Takes a column apart whose cells are all decimals of one exponent, as nearly all are.
    fn decimals(&mut self, cells: &[Cell]) -> bool {
        let Some(Cell::Value(Number::Decimal { exponent, .. })) = cells.first().copied() else {
            return false;
        };
        let mut good = true;
        self.ints.extend(cells.iter().map(|cell| match cell {
            Cell::Value(Number::Decimal { mantissa, exponent: own }) if *own == exponent => *mantissa,
            _ => {
                good = false;
                0
            }
        }));
        let form = Form::Decimal(exponent);
        if good && Form::from_code(form.code()).is_ok_and(|known| known == form) && form.admits(&self.ints) {
            self.form = form;
            return true;
        }
        self.ints.clear();
        false
    }

    /// Whether two columns have their integers in the same rows and the same form.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let rows = |split: &Self| split.rest.iter().map(|(row, _)| *row).collect::<Vec<_>>();
        self.form == other.form
            && self.ints.len() == other.ints.len()
            && (self.rest.is_empty() || rows(self) == rows(other))
    }

    /// Appends the rest's bitmap and list, and gives the bits for the head.
    pub(super) fn put_rest(&self, out: &mut Vec<u8>) -> u8 {
        if self.rest.is_empty() {
            return 0;
        }
        let rows = self.ints.len() + self.rest.len();
        let absent = self.rest.iter().filter(|(_, cell)| *cell == Cell::Absent).count();
        let mut head = 0;
        // In the list an absent cell takes two bytes.
        if absent * 2 > rows.div_ceil(8) {
            head |= HEAD_BITMAP;
            let start = out.len();
            out.resize(start + rows.div_ceil(8), 0);
            for (row, _) in self.rest.iter().filter(|(_, cell)| *cell == Cell::Absent) {
                out[start + *row as usize / 8] |= 1 << (row % 8);
            }
        }
        let listed = if head == 0 { self.rest.len() } else { self.rest.len() - absent };
        if listed > 0 {
            head |= HEAD_LIST;
            put_varint(out, listed as u64);
            let mut next = 0;
            for (row, cell) in
                self.rest.iter().filter(|(_, cell)| head & HEAD_BITMAP == 0 || *cell != Cell::Absent)
            {
                put_varint(out, u64::from(row - next));
                next = row + 1;
                put_cell(out, *cell);
            }
        }
        head
    }
}

/// Whether all cells are the first one.
pub(super) fn uniform(cells: &[Cell]) -> bool {
    cells.windows(2).all(|pair| pair[0] == pair[1])
}

/// A column's rest as read.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Rows without an integer, bit `i % 64` of word `i / 64`; empty where there are none.
    without: Vec<u64>,
    /// Those of them that are not absent.
    listed: Vec<(u32, Cell)>,
    /// Rows with an integer.
    pub(super) ints: usize,
}

impl Rest {
    /// Reads what `put_rest` wrote for a column of `rows` rows.
    pub(super) fn read(reader: &mut Reader<'_>, head: u8, rows: usize) -> Result<Self, Malformed> {
        let mut rest = Self { ints: rows, ..Self::default() };
        if head & (HEAD_BITMAP | HEAD_LIST) == 0 {
            return Ok(rest);
        }
        rest.without = vec![0; rows.div_ceil(64)];
        if head & HEAD_BITMAP != 0 {
            for (at, byte) in reader.take(rows.div_ceil(8))?.iter().enumerate() {
                rest.without[at / 8] |= u64::from(*byte) << (at % 8 * 8);
            }
            if !rows.is_multiple_of(64) && rest.without.last().is_some_and(|word| word >> (rows % 64) != 0) {
                return Err(Malformed("a row that the column does not have"));
            }
        }
        if head & HEAD_LIST != 0 {
            rest.read_list(reader, rows)?;
        }
        let without: u32 = rest.without.iter().map(|word| word.count_ones()).sum();
        rest.ints = rows - without as usize;
        Ok(rest)
    }

    fn read_list(&mut self, reader: &mut Reader<'_>, rows: usize) -> Result<(), Malformed> {
        let mut next = 0;
        for _ in 0..reader.count()? {
            let gap = reader.varint()?;
            let row =
                usize::try_from(gap).ok().and_then(|gap| gap.checked_add(next)).filter(|&row| row < rows);
            let row = row.ok_or(Malformed("a row that the column does not have"))?;
            if !self.has_int(row) {
                return Err(Malformed("a row both absent and listed"));
            }
            self.without[row / 64] |= 1 << (row % 64);
            let cell = cell(reader)?;
            if cell != Cell::Absent {
                self.listed.push((row as u32, cell));
            }
            next = row + 1;
        }
        Ok(())
    }

    /// Whether every row has an integer.
    pub(super) fn is_empty(&self) -> bool {
        self.without.is_empty()
    }

    fn has_int(&self, row: usize) -> bool {
        self.without.get(row / 64).is_none_or(|word| word & (1 << (row % 64)) == 0)
    }

    /// Puts the column together from its integers.
    pub(super) fn cells(&self, form: Form, ints: &[i64], rows: usize, out: &mut Vec<Cell>) {
        if self.is_empty() {
            return form.extend_cells(ints, out);
        }
        let start = out.len();
        let mut ints = ints.iter();
        for row in 0..rows {
            let int = if self.has_int(row) { ints.next() } else { None };
            out.push(int.map_or(Cell::Absent, |&int| Cell::Value(form.number(int))));
        }
        for (row, cell) in &self.listed {
            out[start + *row as usize] = *cell;
        }
    }

    /// Puts the column together as bits, and marks the rows that have any.
    pub(super) fn values(&self, form: Form, ints: &[i64], rows: usize, out: &mut Values) {
        out.set_all_present(rows);
        if self.is_empty() {
            return form.extend_bits(ints, &mut out.bits);
        }
        let mut ints = ints.iter();
        for row in 0..rows {
            let int = if self.has_int(row) { ints.next() } else { None };
            out.bits.push(int.map_or(0, |&int| form.bits(int)));
        }
        for (present, without) in out.present.iter_mut().zip(&self.without) {
            *present &= !without;
        }
        for (row, cell) in &self.listed {
            let row = *row as usize;
            out.bits[row] = cell_bits(*cell);
            out.present[row / 64] |= 1 << (row % 64);
        }
    }

    /// The last row that is not absent; `None` for its cell means the last integer.
    pub(super) fn last(&self, rows: usize) -> Option<(usize, Option<Cell>)> {
        let int = (0..rows).rev().find(|&row| self.has_int(row)).map(|row| (row, None));
        let listed = self.listed.last().map(|(row, cell)| (*row as usize, Some(*cell)));
        int.into_iter().chain(listed).max_by_key(|(row, _)| *row)
    }
}

fn put_cell(out: &mut Vec<u8>, cell: Cell) {
    match cell {
        Cell::Absent => out.push(CODE_ABSENT),
        Cell::Stale => out.push(CODE_STALE),
        Cell::Value(Number::Decimal { mantissa, exponent })
            if Number::decimal(mantissa, exponent).is_some() =>
        {
            out.push(CODE_DECIMAL + exponent);
            put_zigzag(out, mantissa);
        }
        // Raw, or a decimal that no row may carry: its bits are kept all the same.
        Cell::Value(number) => {
            out.push(CODE_RAW);
            out.extend_from_slice(&number.to_bits().to_le_bytes());
        }
    }
}

fn cell(reader: &mut Reader<'_>) -> Result<Cell, Malformed> {
    match reader.byte()? {
        CODE_ABSENT => Ok(Cell::Absent),
        CODE_STALE => Ok(Cell::Stale),
        CODE_RAW => Ok(Cell::Value(Number::Raw(reader.u64_le()?))),
        code => {
            let number = Number::decimal(reader.zigzag()?, code - CODE_DECIMAL);
            number.map(Cell::Value).ok_or(Malformed("a decimal out of range"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The short way takes a column apart as the long one does.
        #[test]
        fn decimals_are_taken_apart_the_same_either_way(
            cells in prop::collection::vec(
                (-3i64..3, 0..2u8, 0..20u8).prop_map(|(mantissa, exponent, odd)| match odd {
                    0 => Cell::Absent,
                    1 => Cell::Value(Number::Decimal { mantissa: (1 << 53) + mantissa, exponent: 1 }),
                    2 => Cell::Value(Number::Decimal { mantissa, exponent: 23 }),
                    _ => Cell::Value(Number::Decimal { mantissa, exponent: exponent / 2 }),
                }),
                1..20,
            ),
        ) {
            let mut short = Split::default();
            if short.decimals(&cells) {
                let form = Form::choose(&cells);
                let number = |cell: &Cell| if let Cell::Value(number) = cell { form.int(*number) } else { None };
                let long: Option<Vec<i64>> = cells.iter().map(number).collect();
                prop_assert_eq!((short.form, Some(short.ints)), (form, long));
            }
        }
    }
}
