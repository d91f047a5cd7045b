//! Reading a fragment's source: group after group, a group's series over its shared times.

use model::is_stale;
use storage::{Batch, FloatColumn, Floats, QueryError};

use super::axis::{Axis, Bounds, Extrapolation};
use super::dense::Dense;
use super::kernel::{Context, Function, Room, absent, run, run_constant};
use super::summed::Summed;
use crate::engine::EvalError;

/// Turns groups into numbers.
pub(super) struct Reader<'a> {
    pub(super) function: Function,
    pub(super) context: Context<'a>,
    pub(super) dense: Dense,
    /// Whether series may be kept as zeros without numbers.
    pub(super) keeps_zeros: bool,
    /// Samples that came from the store.
    pub(super) read: u64,
    /// Samples that windows held, once for every step.
    pub(super) looked_at: u64,
    axis: Axis,
    own: Axis,
    column: Joined,
    summed: Summed,
    out: Vec<f64>,
    room: Room,
}

/// Where a series' numbers are: columns of batches.
pub(super) struct Places {
    starts: Vec<u32>,
    /// Batch and column.
    all: Vec<(u32, u32)>,
}

impl Places {
    fn of(batches: &[Batch], series: usize) -> Self {
        let mut starts = vec![0; series + 1];
        for at in batches.iter().flat_map(|batch| batch.series.iter()) {
            starts[*at as usize + 1] += 1;
        }
        for at in 0..series {
            starts[at + 1] += starts[at];
        }
        let (mut next, mut all) = (starts.clone(), vec![(0, 0); starts[series] as usize]);
        for (number, batch) in (0..).zip(batches) {
            for (column, at) in (0..).zip(batch.series.iter()) {
                let place = &mut next[*at as usize];
                all[*place as usize] = (number, column);
                *place += 1;
            }
        }
        Self { starts, all }
    }

    /// How many series there are.
    pub(super) fn series(&self) -> usize {
        self.starts.len() - 1
    }

    fn of_series(&self, at: usize) -> &[(u32, u32)] {
        &self.all[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// A column that was put together from those of batches.
#[derive(Debug, Default)]
struct Joined {
    values: Vec<f64>,
    /// Their times, where they are not those of the axis.
    times: Vec<i64>,
    scratch: Floats,
}

/// What a column has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    /// At each time of the axis the very same.
    Constant(f64),
    /// A number at each time of the axis.
    Whole,
    /// At some times only.
    Some,
}

impl Joined {
    fn join(&mut self, batches: &[Batch], places: &[(u32, u32)], axis: &Axis) -> Result<Kind, QueryError> {
        self.values.clear();
        self.times.clear();
        let Self { values, times, scratch } = self;
        let mut constant: Option<f64> = None;
        let (mut row, mut is_whole) = (0, true);
        for &(number, column) in places {
            let batch = &batches[number as usize];
            let (rows, column) = (batch.rows(), batch.floats(column as usize, scratch)?);
            if let FloatColumn::Constant(value) = column
                && is_whole
                && values.is_empty()
                && constant.map_or(row == 0, |known| known.to_bits() == value.to_bits())
            {
                constant = Some(value);
                row += rows;
                continue;
            }
            if let Some(value) = constant.take() {
                values.resize(row, value);
            }
            if is_whole && column.count(rows) < rows {
                is_whole = false;
                times.extend_from_slice(&axis.times[..row]);
            }
            match column {
                FloatColumn::Absent => {}
                FloatColumn::Constant(value) => values.resize(values.len() + rows, value),
                FloatColumn::Values { values: found, present } if is_whole || present.is_full() => {
                    values.extend_from_slice(found);
                }
                FloatColumn::Values { values: found, present } => {
                    values.extend(present.iter().map(|at| found[at]))
                }
            }
            if !is_whole {
                column.for_each(rows, |at, _| times.push(batch.times[at]));
            }
            row += rows;
        }
        Ok(match constant {
            Some(value) => Kind::Constant(value),
            None if values.is_empty() => Kind::Nothing,
            None if is_whole => Kind::Whole,
            None => Kind::Some,
        })
    }

    /// Leaves stale markers out.
    fn without_stale(&mut self, kind: Kind, axis: &Axis) -> Kind {
        match kind {
            Kind::Constant(value) if is_stale(value) => return Kind::Nothing,
            Kind::Nothing | Kind::Constant(_) => return kind,
            Kind::Whole | Kind::Some => {}
        }
        if !self.values.iter().any(|value| is_stale(*value)) {
            return kind;
        }
        if kind == Kind::Whole {
            self.times.extend_from_slice(&axis.times);
        }
        let mut kept = 0;
        for at in 0..self.values.len() {
            if !is_stale(self.values[at]) {
                (self.values[kept], self.times[kept]) = (self.values[at], self.times[at]);
                kept += 1;
            }
        }
        self.values.truncate(kept);
        self.times.truncate(kept);
        if kept == 0 { Kind::Nothing } else { Kind::Some }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(function: Function, context: Context<'a>) -> Self {
        let steps = context.bounds.len();
        Self {
            function,
            context,
            dense: Dense::default(),
            keeps_zeros: false,
            read: 0,
            looked_at: 0,
            axis: Axis::default(),
            own: Axis::default(),
            column: Joined::default(),
            summed: Summed::default(),
            out: vec![absent(); steps],
            room: Room::default(),
        }
    }

    /// Begins with a group, all of whose batches are there. Gives where its series are.
    pub(super) fn begin(&mut self, batches: &[Batch]) -> Places {
        let Some(first) = batches.first() else { return Places::of(batches, 0) };
        self.dense.begin(&first.group, first.group.len() * self.out.len());
        Places::of(batches, first.group.len())
    }

    /// Takes one series of the group. How many results it has.
    pub(super) fn series(
        &mut self,
        batches: &[Batch],
        places: &Places,
        series: usize,
    ) -> Result<usize, EvalError> {
        let places = places.of_series(series);
        if places.is_empty() {
            return Ok(0);
        }
        if self.function == Function::Newest && self.out.len() == 1 {
            self.out.fill(absent());
            self.newest(batches, places)?;
        } else if let Some((first, len)) = self.windows(batches, places)? {
            self.dense.push_zeros(series, first, len);
            return Ok(len);
        }
        Ok(self.dense.push(series, &self.out))
    }

    /// The newest number of all; the selection is no longer than one window.
    fn newest(&mut self, batches: &[Batch], places: &[(u32, u32)]) -> Result<(), QueryError> {
        for &(number, column) in places.iter().rev() {
            let last = batches[number as usize].last(column as usize, &mut self.column.scratch)?;
            if let Some((_, value)) = last {
                self.read += 1;
                self.looked_at += u64::from(!is_stale(value));
                self.out[0] = value;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fills in what there is at each step; where that is zero everywhere, the steps alone are told.
    fn windows(
        &mut self,
        batches: &[Batch],
        places: &[(u32, u32)],
    ) -> Result<Option<(usize, usize)>, EvalError> {
        let times = places.iter().map(|(number, _)| &batches[*number as usize].times);
        let (bounds, extrapolation): (&Bounds, _) = (self.context.bounds, self.function.extrapolation());
        self.axis.set(times, bounds, extrapolation);
        if self.closed(batches, places)? {
            return Ok(None);
        }
        let mut kind = self.column.join(batches, places, &self.axis)?;
        self.read += match kind {
            Kind::Constant(_) => self.axis.times.len() as u64,
            _ => self.column.values.len() as u64,
        };
        if self.function != Function::Newest {
            kind = self.column.without_stale(kind, &self.axis);
        }
        if self.keeps_zeros
            && matches!(kind, Kind::Constant(value) if value.is_finite())
            && extrapolation != Extrapolation::None
            && self.axis.pairs.is_some()
        {
            self.looked_at += self.axis.total;
            return Ok(self.axis.pairs);
        }
        self.out.fill(absent());
        let axis = match kind {
            Kind::Nothing => return Ok(None),
            Kind::Constant(_) | Kind::Whole => &self.axis,
            Kind::Some => {
                self.own.set_own(&self.column.times, bounds, extrapolation);
                &self.own
            }
        };
        let is_done = match kind {
            Kind::Constant(value) => {
                let is_done = run_constant(self.function, axis, value, &mut self.out);
                if !is_done {
                    self.column.values.resize(axis.times.len(), value);
                }
                is_done
            }
            _ => false,
        };
        if !is_done {
            run(self.function, axis, &self.column.values, &mut self.out, &mut self.room, &mut self.context)?;
        }
        self.looked_at += match self.function {
            Function::Newest => self.out.iter().filter(|value| !is_stale(**value)).count() as u64,
            _ => axis.total,
        };
        Ok(None)
    }

    /// The same without opening all blocks; false where they must be.
    fn closed(&mut self, batches: &[Batch], places: &[(u32, u32)]) -> Result<bool, EvalError> {
        let Self { function, axis, summed, column, context, .. } = self;
        if !summed.is_worth_it(*function, axis)
            || !summed.read(*function, (batches, places), axis, &mut column.scratch)?
        {
            return Ok(false);
        }
        self.out.fill(absent());
        run(*function, &summed.axis, &summed.values, &mut self.out, &mut self.room, context)?;
        self.read += summed.values.len() as u64;
        self.looked_at += axis.total;
        Ok(true)
    }
}
