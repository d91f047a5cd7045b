//! Columns of a block as residuals, and residuals as planes of bytes.
//!
//! A column of integers is predicted from nothing, from its own past, or from the increments of a
//! column just before it: histogram buckets and mirrored counters move together. What remains is as
//! many bytes wide as the column's largest residual, its class. All lowest bytes of a class stand
//! together, then all second bytes, and so on: bytes of one kind side by side are what a compressor
//! needs.

use storage::Number;

use super::form::Form;
use super::packing::length;
use super::rest::{Rest, Split};
use crate::bytes::{Malformed, Reader, put_zigzag};

/// Bits 0 to 2 of a column's head.
const HEAD_PREDICTOR: u8 = 7;
const CONSTANT: u8 = 0;
const ORDER_0: u8 = 1;
const DELTA: u8 = 2;
const DELTA_OF_DELTA: u8 = 3;
/// From the increments of the column 1 before; the codes after it: 2, 3, 4 before.
const NEIGHBOUR: u8 = 4;
/// How far before a neighbour may be.
const NEIGHBOURS: usize = 4;
/// Set where all residuals end in the same bits.
const HEAD_SHIFT: u8 = 1 << 6;
const HEAD_UNKNOWN: u8 = 1 << 5 | 1 << 7;

/// Integers of which the middle of a column's residuals is estimated.
const SAMPLE: usize = 63;

/// The residuals of one column.
#[derive(Debug, Default)]
pub(super) struct Residuals {
    /// Bytes of the widest; 0 where there are none or all are 0.
    class: u8,
    values: Vec<u64>,
}

/// How a column is predicted, and what that costs.
#[derive(Clone, Copy, Debug)]
struct Plan {
    predictor: u8,
    /// Subtracted from every residual.
    centre: i64,
    shift: u32,
    /// In bits.
    cost: u64,
}

/// What encoding a column needs for a moment.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    best: Vec<i64>,
    tried: Vec<i64>,
    sample: Vec<i64>,
}

/// Appends what describes the last of `columns`, and gives its residuals.
pub(super) fn put(columns: &[Split], scratch: &mut Scratch, meta: &mut Vec<u8>, out: &mut Residuals) {
    out.class = 0;
    out.values.clear();
    let Some((column, before)) = columns.split_last() else { return };
    let start = meta.len();
    meta.extend_from_slice(&[column.form.code(), 0]);
    let rest = column.put_rest(meta);
    let ints = column.ints.as_slice();
    let Some((&first, later)) = ints.split_first() else {
        meta[start + 1] = rest | CONSTANT;
        return;
    };
    if later.iter().all(|int| *int == first) {
        meta[start + 1] = rest | CONSTANT;
        return put_zigzag(meta, first);
    }
    let plan = choose(column, before, scratch);
    let shift = if plan.shift > 0 { HEAD_SHIFT } else { 0 };
    meta[start + 1] = rest | plan.predictor | shift;
    match plan.predictor {
        ORDER_0 => {}
        DELTA_OF_DELTA => {
            put_zigzag(meta, first);
            put_zigzag(meta, later[0].wrapping_sub(first));
        }
        _ => put_zigzag(meta, first),
    }
    put_zigzag(meta, plan.centre);
    if plan.shift > 0 {
        meta.push(plan.shift as u8);
    }
    out.values.extend(scratch.best.iter().map(|residual| plan.folded(*residual)));
    let all = out.values.iter().fold(0, |all, value| all | value);
    out.class = (64 - all.leading_zeros()).div_ceil(8) as u8;
    meta.push(out.class);
}

impl Plan {
    /// A residual as a small number where it is near the centre.
    fn folded(self, residual: i64) -> u64 {
        let distance = residual.wrapping_sub(self.centre) >> self.shift;
        ((distance << 1) ^ (distance >> 63)) as u64
    }
}

/// The cheapest predictor of a column of at least two integers; its residuals are `scratch.best`.
fn choose(column: &Split, before: &[Split], scratch: &mut Scratch) -> Plan {
    let ints = column.ints.as_slice();
    scratch.best.clear();
    scratch.best.extend_from_slice(ints);
    let mut best = plan(ORDER_0, &scratch.best, &mut scratch.sample);
    let mut consider = |predictor: u8, residuals: &mut dyn Iterator<Item = i64>| {
        scratch.tried.clear();
        scratch.tried.extend(residuals);
        if scratch.tried.is_empty() {
            return;
        }
        let found = plan(predictor, &scratch.tried, &mut scratch.sample);
        if found.cost < best.cost {
            best = found;
            std::mem::swap(&mut scratch.best, &mut scratch.tried);
        }
    };
    consider(DELTA, &mut deltas(ints));
    consider(DELTA_OF_DELTA, &mut ints.windows(3).map(second_delta));
    for (distance, other) in (0..NEIGHBOURS as u8).zip(before.iter().rev()) {
        if column.is_like(other) {
            let pairs = deltas(ints).zip(deltas(&other.ints));
            consider(NEIGHBOUR + distance, &mut pairs.map(|(own, other)| own.wrapping_sub(other)));
        }
    }
    best
}

fn deltas(ints: &[i64]) -> impl Iterator<Item = i64> {
    ints.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]))
}

fn second_delta(three: &[i64]) -> i64 {
    three[2].wrapping_sub(three[1]).wrapping_sub(three[1].wrapping_sub(three[0]))
}

/// The plan for these residuals, of which there are some.
fn plan(predictor: u8, residuals: &[i64], sample: &mut Vec<i64>) -> Plan {
    let first = residuals[0];
    let differ = residuals.iter().fold(0, |differ, residual| differ | (residual ^ first));
    let shift = if differ == 0 { 0 } else { differ.trailing_zeros() };
    sample.clear();
    sample.extend(residuals.iter().step_by(residuals.len().div_ceil(SAMPLE)));
    let middle = sample.len() / 2;
    let centre = *sample.select_nth_unstable(middle).1;
    let plan = Plan { predictor, centre, shift, cost: 0 };
    let bits = |residual: &i64| u64::from(length(plan.folded(*residual)));
    Plan { cost: residuals.iter().map(bits).sum(), ..plan }
}

/// Appends the planes of all columns, class after class.
pub(super) fn put_planes(columns: &[Residuals], out: &mut Vec<u8>) {
    for class in 1..=8 {
        for plane in 0..class {
            for column in columns.iter().filter(|column| column.class == class) {
                out.extend(column.values.iter().map(|value| (value >> (plane * 8)) as u8));
            }
        }
    }
}

/// A column of a block as its description says.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) form: Form,
    pub(super) rest: Rest,
    predictor: u8,
    /// First integer, and the delta after it.
    starts: [i64; 2],
    centre: i64,
    shift: u32,
    class: usize,
    /// Where its part of the lowest plane is, and how far it is from plane to plane.
    place: usize,
    stride: usize,
}

impl Column {
    fn read(reader: &mut Reader<'_>, rows: usize) -> Result<Self, Malformed> {
        let form = Form::from_code(reader.byte()?)?;
        let head = reader.byte()?;
        if head & HEAD_UNKNOWN != 0 {
            return Err(Malformed("an unknown column head"));
        }
        let rest = Rest::read(reader, head, rows)?;
        let predictor = head & HEAD_PREDICTOR;
        let mut column = Self {
            form,
            rest,
            predictor,
            starts: [0; 2],
            centre: 0,
            shift: 0,
            class: 0,
            place: 0,
            stride: 0,
        };
        if column.rest.ints == 0 {
            return Ok(Self { predictor: CONSTANT, ..column });
        }
        if predictor != ORDER_0 {
            column.starts[0] = reader.zigzag()?;
        }
        if predictor == CONSTANT {
            return Ok(column);
        }
        if predictor == DELTA_OF_DELTA {
            column.starts[1] = reader.zigzag()?;
        }
        column.centre = reader.zigzag()?;
        column.shift = if head & HEAD_SHIFT == 0 { 0 } else { u32::from(reader.byte()?) };
        column.class = usize::from(reader.byte()?);
        let order = if predictor == ORDER_0 {
            0
        } else if predictor == DELTA_OF_DELTA {
            2
        } else {
            1
        };
        if column.shift > 63 || column.class > 8 || column.rest.ints <= order {
            return Err(Malformed("a column description out of range"));
        }
        Ok(column)
    }

    /// How many columns before this one the column is that it is predicted from.
    pub(super) fn neighbour(&self) -> Option<usize> {
        self.predictor.checked_sub(NEIGHBOUR).map(|distance| usize::from(distance) + 1)
    }

    /// The number of every row, where all are the same and none is missing.
    pub(super) fn uniform(&self) -> Option<Number> {
        let is_one =
            self.predictor == CONSTANT && self.rest.is_empty() && self.form.admits(&self.starts[..1]);
        is_one.then(|| self.form.number(self.starts[0]))
    }

    fn residuals(&self) -> usize {
        match self.predictor {
            CONSTANT => 0,
            ORDER_0 => self.rest.ints,
            DELTA_OF_DELTA => self.rest.ints.saturating_sub(2),
            _ => self.rest.ints.saturating_sub(1),
        }
    }

    /// Appends the column's integers. `other` are those of its neighbour, if it has one.
    pub(super) fn ints(
        &self,
        plain: &[u8],
        other: &[i64],
        scratch: &mut Vec<u64>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        if self.predictor == CONSTANT {
            out.resize(self.rest.ints, self.starts[0]);
            return Ok(());
        }
        self.gather(plain, scratch)?;
        let residuals = scratch.iter().map(|&folded| {
            let distance = ((folded >> 1) as i64) ^ -((folded & 1) as i64);
            self.centre.wrapping_add(distance << self.shift)
        });
        let [mut int, mut delta] = self.starts;
        match self.predictor {
            ORDER_0 => out.extend(residuals),
            DELTA => {
                out.push(int);
                out.extend(residuals.map(|residual| {
                    int = int.wrapping_add(residual);
                    int
                }));
            }
            DELTA_OF_DELTA => {
                out.push(int);
                int = int.wrapping_add(delta);
                out.push(int);
                out.extend(residuals.map(|residual| {
                    delta = delta.wrapping_add(residual);
                    int = int.wrapping_add(delta);
                    int
                }));
            }
            _ if other.len() == self.rest.ints => {
                out.push(int);
                out.extend(residuals.zip(deltas(other)).map(|(residual, delta)| {
                    int = int.wrapping_add(residual).wrapping_add(delta);
                    int
                }));
            }
            _ => return Err(Malformed("a neighbour of another length")),
        }
        if self.form.admits(out) { Ok(()) } else { Err(Malformed("a decimal out of range")) }
    }

    /// Puts the residuals together from their planes.
    fn gather(&self, plain: &[u8], out: &mut Vec<u64>) -> Result<(), Malformed> {
        let count = self.residuals();
        let plane = |plane: usize| {
            let start = self.place + plane * self.stride;
            plain.get(start..start + count).ok_or(Malformed("a plane ends too early"))
        };
        out.clear();
        if self.class == 0 {
            out.resize(count, 0);
            return Ok(());
        }
        out.extend(plane(0)?.iter().map(|byte| u64::from(*byte)));
        for at in 1..self.class {
            for (value, byte) in out.iter_mut().zip(plane(at)?) {
                *value |= u64::from(*byte) << (at * 8);
            }
        }
        Ok(())
    }
}

/// The descriptions of all columns of a block, and where in it their planes are.
pub(super) fn read(plain: &[u8], columns: usize, rows: usize) -> Result<Vec<Column>, Malformed> {
    let mut reader = Reader::new(plain);
    let mut read = Vec::with_capacity(columns);
    for at in 0..columns {
        let column = Column::read(&mut reader, rows)?;
        if column.neighbour().is_some_and(|distance| distance > at) {
            return Err(Malformed("a neighbour before the first column"));
        }
        read.push(column);
    }
    let mut place = plain.len() - reader.rest().len();
    for class in 1..=8 {
        let of_class = |column: &&mut Column| column.class == class;
        let stride: usize = read.iter().filter(|column| column.class == class).map(Column::residuals).sum();
        let mut start = place;
        for column in read.iter_mut().filter(of_class) {
            (column.place, column.stride) = (start, stride);
            start += column.residuals();
        }
        place += class * stride;
    }
    if place == plain.len() { Ok(read) } else { Err(Malformed("the planes have another length")) }
}
