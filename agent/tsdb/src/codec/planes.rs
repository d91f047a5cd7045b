//! Columns of a block as descriptions and residuals.
//!
//! A column of integers is predicted from nothing, from its own past, or from the increments of a
//! column just before it: histogram buckets and mirrored counters move together. What remains is coded by
//! itself (`rans`). Blocks of version 1 have it as planes instead, which are read here: all lowest bytes of
//! columns of one width together, then all second bytes, and so on.

use storage::Number;

use super::form::Form;
use super::rans::{self, Census, Coder, Model};
use super::rest::{Rest, Split};
use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};

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
/// A middle below it makes no difference to how residuals are told from zero.
const NEAR_ZERO: u64 = 4;

/// How a column is predicted, and what that costs.
#[derive(Clone, Copy, Debug)]
struct Plan {
    predictor: u8,
    /// Subtracted from every residual.
    centre: i64,
    shift: u32,
    model: Model,
    /// In bits.
    cost: f64,
}

/// What encoding a column needs for a moment.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    best: Vec<i64>,
    tried: Vec<i64>,
    sample: Vec<i64>,
    coder: Coder,
    census: Census,
}

/// Appends what describes the last of `columns`, and its residuals.
pub(super) fn put(columns: &[Split], scratch: &mut Scratch, meta: &mut Vec<u8>, streams: &mut Vec<u8>) {
    let Some(plan) = describe(columns, scratch, meta) else { return };
    scratch.tried.clear();
    scratch.tried.extend(scratch.best.iter().map(|residual| plan.distance(*residual)));
    let start = streams.len();
    scratch.coder.put(plan.model, &scratch.tried, streams);
    put_varint(meta, (streams.len() - start) as u64);
}

/// Appends what stands before a column's residuals; these are `scratch.best`, where there are any.
fn describe(columns: &[Split], scratch: &mut Scratch, meta: &mut Vec<u8>) -> Option<Plan> {
    let (column, before) = columns.split_last()?;
    let start = meta.len();
    meta.extend_from_slice(&[column.form.code(), 0]);
    let rest = column.put_rest(meta);
    let ints = column.ints.as_slice();
    let Some((&first, later)) = ints.split_first() else {
        meta[start + 1] = rest | CONSTANT;
        return None;
    };
    if later.iter().all(|int| *int == first) {
        meta[start + 1] = rest | CONSTANT;
        put_zigzag(meta, first);
        return None;
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
    Some(plan)
}

impl Plan {
    /// How far a residual is from the centre.
    fn distance(self, residual: i64) -> i64 {
        residual.wrapping_sub(self.centre) >> self.shift
    }

    /// The same as a small number where it is near.
    #[cfg(test)]
    fn folded(self, residual: i64) -> u64 {
        let distance = self.distance(residual);
        ((distance << 1) ^ (distance >> 63)) as u64
    }
}

/// The cheapest predictor of a column of at least two integers; its residuals are `scratch.best`.
fn choose(column: &Split, before: &[Split], scratch: &mut Scratch) -> Plan {
    let ints = column.ints.as_slice();
    scratch.best.clear();
    scratch.best.extend_from_slice(ints);
    let mut best = plan(ORDER_0, &scratch.best, &mut scratch.sample, &mut scratch.census);
    let mut consider = |predictor: u8, residuals: &mut dyn Iterator<Item = i64>| {
        scratch.tried.clear();
        scratch.tried.extend(residuals);
        if scratch.tried.is_empty() {
            return;
        }
        let found = plan(predictor, &scratch.tried, &mut scratch.sample, &mut scratch.census);
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
fn plan(predictor: u8, residuals: &[i64], sample: &mut Vec<i64>, census: &mut Census) -> Plan {
    let first = residuals[0];
    let differ = residuals.iter().fold(0, |differ, residual| differ | (residual ^ first));
    let shift = if differ == 0 { 0 } else { differ.trailing_zeros() };
    sample.clear();
    sample.extend(residuals.iter().step_by(residuals.len().div_ceil(SAMPLE)));
    let middle = sample.len() / 2;
    let centre = *sample.select_nth_unstable(middle).1;
    let mut of = |centre: i64| {
        let plan = Plan { predictor, centre, shift, model: Model::PLAIN, cost: 0.0 };
        let (cost, model) = census.best(residuals.iter().map(|residual| plan.distance(*residual)));
        Plan { model, cost, ..plan }
    };
    let best = of(centre);
    // What grows by bursts, or lasts, has its shape from zero on; zero, but for the bits that all have in common.
    let zero = first & (1i64 << shift).wrapping_sub(1);
    if centre.unsigned_abs() < NEAR_ZERO {
        return best;
    }
    let other = of(zero);
    if other.cost < best.cost { other } else { best }
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
    coded: Coded,
}

/// How a column's residuals are told, and where.
#[derive(Clone, Debug)]
enum Coded {
    /// So many bytes each, from this place on, so far from plane to plane.
    Planes {
        class: usize,
        place: usize,
        stride: usize,
    },
    Stream(std::ops::Range<usize>),
}

impl Column {
    fn read(reader: &mut Reader<'_>, rows: usize, layout: Layout) -> Result<Self, Malformed> {
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
            coded: Coded::Planes { class: 0, place: 0, stride: 0 },
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
        let mut class = 0;
        column.coded = match layout {
            Layout::Planes => {
                class = usize::from(reader.byte()?);
                Coded::Planes { class, place: 0, stride: 0 }
            }
            // The length; where it begins is found later.
            Layout::Streams(all) => {
                let length = usize::try_from(reader.varint()?).ok().filter(|&length| length <= all);
                Coded::Stream(0..length.ok_or(Malformed("a column over its block's end"))?)
            }
        };
        let order = if predictor == ORDER_0 {
            0
        } else if predictor == DELTA_OF_DELTA {
            2
        } else {
            1
        };
        if column.shift > 63 || class > 8 || column.rest.ints <= order {
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
        bytes: &[u8],
        other: &[i64],
        scratch: &mut Vec<i64>,
        out: &mut Vec<i64>,
    ) -> Result<(), Malformed> {
        if self.predictor == CONSTANT {
            out.resize(self.rest.ints, self.starts[0]);
            return Ok(());
        }
        match &self.coded {
            Coded::Planes { class, place, stride } => {
                gather(bytes, self.residuals(), (*class, *place, *stride), scratch)?;
            }
            Coded::Stream(range) => {
                let own = bytes.get(range.clone()).ok_or(Malformed("a column ends too early"))?;
                rans::read(own, self.residuals(), scratch)?;
            }
        }
        let residuals = scratch.iter().map(|&distance| self.centre.wrapping_add(distance << self.shift));
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
}

/// Puts residuals together from their planes.
fn gather(
    plain: &[u8],
    count: usize,
    (class, place, stride): (usize, usize, usize),
    out: &mut Vec<i64>,
) -> Result<(), Malformed> {
    let plane = |plane: usize| {
        let start = place + plane * stride;
        plain.get(start..start + count).ok_or(Malformed("a plane ends too early"))
    };
    out.clear();
    out.resize(count, 0);
    for at in 0..class {
        for (value, byte) in out.iter_mut().zip(plane(at)?) {
            *value |= (u64::from(*byte) << (at * 8)) as i64;
        }
    }
    for value in out {
        let folded = *value as u64;
        *value = ((folded >> 1) as i64) ^ -((folded & 1) as i64);
    }
    Ok(())
}

/// How a block tells its residuals.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// As planes behind the descriptions.
    Planes,
    /// As streams of so many bytes together, apart from the descriptions.
    Streams(usize),
}

/// The descriptions of all columns of a block, and where their residuals are.
pub(super) fn read(
    plain: &[u8],
    columns: usize,
    rows: usize,
    layout: Layout,
) -> Result<Vec<Column>, Malformed> {
    let mut reader = Reader::new(plain);
    let mut read = Vec::with_capacity(columns);
    for at in 0..columns {
        let column = Column::read(&mut reader, rows, layout)?;
        if column.neighbour().is_some_and(|distance| distance > at) {
            return Err(Malformed("a neighbour before the first column"));
        }
        read.push(column);
    }
    let place = plain.len() - reader.rest().len();
    let is_whole = match layout {
        Layout::Planes => place_planes(&mut read, place) == plain.len(),
        Layout::Streams(all) => place == plain.len() && place_streams(&mut read) == all,
    };
    if is_whole { Ok(read) } else { Err(Malformed("the residuals have another length")) }
}

/// Where the planes of each column are; they begin at `place`. Gives their end.
fn place_planes(columns: &mut [Column], mut place: usize) -> usize {
    let class_of = |column: &Column| if let Coded::Planes { class, .. } = column.coded { class } else { 0 };
    for class in 1..=8 {
        let of_class = columns.iter().filter(|column| class_of(column) == class);
        let stride: usize = of_class.map(Column::residuals).sum();
        let mut start = place;
        for column in columns.iter_mut().filter(|column| class_of(column) == class) {
            column.coded = Coded::Planes { class, place: start, stride };
            start += column.residuals();
        }
        place += class * stride;
    }
    place
}

/// Where the stream of each column is. Gives their end.
fn place_streams(columns: &mut [Column]) -> usize {
    let mut end = 0usize;
    for column in columns {
        if let Coded::Stream(range) = &mut column.coded {
            let start = end;
            end = end.saturating_add(range.end);
            *range = start..end;
        }
    }
    end
}

/// Blocks of version 1 as they were written, for those who must still read them.
#[cfg(test)]
pub(super) mod version_1 {
    use super::*;

    /// The folded residuals of a column, and bytes of the widest.
    pub(crate) type Residuals = (u8, Vec<u64>);

    pub(crate) fn put(columns: &[Split], scratch: &mut Scratch, meta: &mut Vec<u8>) -> Residuals {
        let Some(plan) = describe(columns, scratch, meta) else { return Residuals::default() };
        let values: Vec<u64> = scratch.best.iter().map(|residual| plan.folded(*residual)).collect();
        let all = values.iter().fold(0, |all, value| all | value);
        let class = (64 - all.leading_zeros()).div_ceil(8) as u8;
        meta.push(class);
        (class, values)
    }

    /// Appends the planes of all columns, class after class.
    pub(crate) fn put_planes(columns: &[Residuals], out: &mut Vec<u8>) {
        for class in 1..=8u8 {
            for plane in 0..class {
                for (_, values) in columns.iter().filter(|(own, _)| *own == class) {
                    out.extend(values.iter().map(|value| (value >> (plane * 8)) as u8));
                }
            }
        }
    }
}
