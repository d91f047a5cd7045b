//! Generated series: groups with slots in common or of their own, rows in tiles with shared times, and series beside
//! them with times of their own. Gaps, stale markers, resets, NaN, infinities, zeros of both signs, and histograms.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{AnyHistogram, Labels, Matcher, is_stale, stale_nan};
use storage::{
    Batch, BatchSelect, Batches, BoxFuture, Budget, Cell, Collected, ColumnSource, Coverage, FloatColumn,
    Floats, Histograms, LabelQuery, Number, Querier, QueryError, Select, SeriesGroup, SeriesSet, Summary,
    TimeRange, Times,
};
use vedette_promql::script::{SeriesValue, parse_series_line};

use super::noise::Noise;

/// Times are from 0 to this.
pub(crate) const SPAN: i64 = 1_200_000;

/// What a series is like.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Constant(f64),
    Counter,
    Gauge,
    Odd,
    Sparse,
    Stale,
}

#[derive(Debug)]
struct Group {
    target: Labels,
    slots: Arc<[Labels]>,
    /// In order of time.
    tiles: Vec<Tile>,
}

/// Rows; of each column the cells.
#[derive(Clone, Debug)]
struct Tile {
    times: Vec<i64>,
    series: Vec<u32>,
    columns: Vec<Column>,
}

#[derive(Clone, Debug)]
enum Column {
    Numbers(Vec<Option<f64>>),
    Histograms(Vec<Option<Arc<AnyHistogram>>>),
}

impl Column {
    fn summary(&self) -> Option<Summary> {
        let Self::Numbers(cells) = self else { return None };
        let cell = |cell: &Option<f64>| match cell {
            None => Cell::Absent,
            Some(value) if is_stale(*value) => Cell::Stale,
            Some(value) => Cell::Value(Number::from_f64(*value)),
        };
        Some(Summary::of(&cells.iter().map(cell).collect::<Vec<_>>()))
    }
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Data {
    groups: Vec<Group>,
}

fn slots(noise: &mut Noise, with_histograms: bool) -> Arc<[Labels]> {
    let mut all = Vec::new();
    let names: &[&str] = if with_histograms {
        &["b_bucket", "c_total", "g", "h"]
    } else {
        &["b_bucket", "c_total", "g", "typed_total"]
    };
    for name in names {
        for at in 0..1 + noise.below(4) {
            let mut pairs = vec![("__name__", (*name).to_owned()), ("slot", at.to_string())];
            match noise.below(8) {
                0 => pairs.push(("zone", "z".to_owned())),
                1 => pairs.push(("job", "own".to_owned())),
                2 => pairs.push(("le", ["0.1", "1", "+Inf"][at as usize % 3].to_owned())),
                _ => {}
            }
            if *name == "b_bucket" && !noise.one_in(10) {
                pairs.retain(|(name, _)| *name != "slot" && *name != "le");
                pairs.push(("le", ["0.1", "1", "5.0", "+Inf"][at as usize % 4].to_owned()));
            }
            if *name == "typed_total" {
                pairs.push(("__type__", noise.of(&["counter", "gauge"]).to_owned()));
            }
            all.push(Labels::from_pairs(pairs));
        }
    }
    all.dedup();
    all.into()
}

fn histograms() -> Vec<Arc<AnyHistogram>> {
    let line = "h {{schema:0 sum:5 count:4 buckets:[1 2 1]}} {{schema:0 sum:9 count:6 buckets:[1 3 2]}} \
                {{schema:1 sum:1 count:1 buckets:[1]}} {{schema:-53 sum:3 count:3 custom_values:[5 10] buckets:[1 2]}}";
    let values = parse_series_line(line).expect("a line").values;
    let of = |value: Option<SeriesValue>| match value {
        Some(SeriesValue::Histogram(histogram, _)) => {
            Some(Arc::new(AnyHistogram::Float((*histogram).clone())))
        }
        _ => None,
    };
    values.into_iter().filter_map(of).collect()
}

struct Walk {
    shape: Shape,
    level: f64,
}

impl Walk {
    fn any(noise: &mut Noise) -> Self {
        let shape = match noise.below(9) {
            0..=1 => Shape::Constant([0.0, 1.0, -0.0, 7.5, f64::NAN, f64::INFINITY][noise.below(6) as usize]),
            2..=4 => Shape::Counter,
            5 => Shape::Gauge,
            6 => Shape::Odd,
            7 => Shape::Sparse,
            _ => Shape::Stale,
        };
        Self { shape, level: noise.below(1_000) as f64 / 10.0 }
    }

    fn cell(&mut self, noise: &mut Noise) -> Option<f64> {
        match self.shape {
            Shape::Constant(value) => Some(value),
            Shape::Counter | Shape::Stale if noise.one_in(20) => {
                self.level = noise.below(3) as f64;
                Some(self.level)
            }
            Shape::Stale if noise.one_in(4) => Some(stale_nan()),
            Shape::Counter | Shape::Stale => {
                self.level += noise.below(500) as f64 / 100.0;
                Some(self.level)
            }
            Shape::Gauge => Some(noise.below(2_000_000) as f64 / 1e3 - 1e3),
            Shape::Odd => {
                let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, -1e308, 1e-310, -0.0, 0.0, 3.0];
                Some(odd[noise.below(9) as usize])
            }
            Shape::Sparse => noise.one_in(4).then(|| noise.below(100) as f64),
        }
    }
}

impl Group {
    fn any(noise: &mut Noise, target: Labels, slots: Arc<[Labels]>, kinds: &[Arc<AnyHistogram>]) -> Self {
        let mut walks: Vec<Walk> = slots.iter().map(|_| Walk::any(noise)).collect();
        let is_alone: Vec<bool> = slots.iter().map(|_| noise.one_in(12)).collect();
        let shared: Vec<u32> = (0..slots.len() as u32).filter(|at| !is_alone[*at as usize]).collect();
        let mut tiles = Vec::new();
        let mut time = noise.below(30_000) as i64;
        while time < SPAN {
            let rows = 1 + noise.below(40) as usize;
            let mut times = Vec::new();
            for _ in 0..rows {
                times.push(time);
                time += 14_990 + noise.below(20) as i64 + if noise.one_in(30) { 200_000 } else { 0 };
            }
            // Columns stand in one batch, or in two.
            let cut =
                if noise.one_in(3) { noise.below(shared.len() as u64 + 1) as usize } else { shared.len() };
            for part in [&shared[..cut], &shared[cut..]] {
                tiles.extend(Tile::any(noise, &times, part, &slots, &mut walks, kinds));
            }
            // Those that were put together have fewer times, of the same span.
            for at in (0..slots.len() as u32).filter(|at| is_alone[*at as usize]) {
                let own: Vec<i64> = times.iter().copied().filter(|_| !noise.one_in(3)).collect();
                tiles.extend(Tile::any(noise, &own, &[at], &slots, &mut walks, kinds));
            }
        }
        Self { target, slots, tiles }
    }
}

impl Tile {
    /// Numbers in one, histograms in another.
    fn any(
        noise: &mut Noise,
        times: &[i64],
        series: &[u32],
        slots: &[Labels],
        walks: &mut [Walk],
        kinds: &[Arc<AnyHistogram>],
    ) -> Vec<Self> {
        let empty = || Self { times: times.to_vec(), series: Vec::new(), columns: Vec::new() };
        let (mut numbers, mut others) = (empty(), empty());
        for &at in series {
            let is_histogram = slots[at as usize].metric_name() == "h";
            let mut cells = Vec::new();
            for _ in times {
                cells.push(walks[at as usize].cell(noise));
            }
            if is_histogram && !noise.one_in(8) {
                let cell = |_: &Option<f64>| {
                    (!noise.one_in(6)).then(|| Arc::clone(&kinds[noise.below(kinds.len() as u64) as usize]))
                };
                others.columns.push(Column::Histograms(cells.iter().map(cell).collect()));
                others.series.push(at);
            } else {
                numbers.columns.push(Column::Numbers(cells));
                numbers.series.push(at);
            }
        }
        [numbers, others].into_iter().filter(|tile| !tile.series.is_empty() && !times.is_empty()).collect()
    }
}

impl Data {
    pub(crate) fn any(noise: &mut Noise) -> Self {
        let with_histograms = noise.one_in(3);
        let shapes = [slots(noise, with_histograms), slots(noise, false)];
        let (mut groups, kinds) = (Vec::new(), histograms());
        for instance in 0..1 + noise.below(6) {
            let job = noise.of(&["a", "b"]);
            let mut pairs = vec![("instance", instance.to_string()), ("job", job.to_owned())];
            if noise.one_in(6) {
                pairs.push(("aaa", "first".to_owned()));
            }
            let shape = &shapes[usize::from(noise.one_in(3))];
            groups.push(Group::any(noise, Labels::from_pairs(pairs), Arc::clone(shape), &kinds));
        }
        Self { groups }
    }

    fn read(&self, matchers: &[Matcher], range: TimeRange, budget: &Budget) -> Vec<Batch> {
        let mut found = Vec::new();
        let mut picks: BTreeMap<(*const Labels, Vec<u32>), Arc<[Labels]>> = BTreeMap::new();
        for group in &self.groups {
            let passes = |slot: &Labels| {
                let labels = group.target.overlaid(slot);
                matchers.iter().all(|matcher| matcher.matches_labels(&labels))
            };
            let kept: Vec<u32> =
                (0..).zip(group.slots.iter()).filter(|(_, slot)| passes(slot)).map(|(at, _)| at).collect();
            let slots = picks
                .entry((group.slots.as_ptr(), kept.clone()))
                .or_insert_with(|| kept.iter().map(|at| group.slots[*at as usize].clone()).collect());
            let series = Arc::new(SeriesGroup::listed(group.target.clone(), Arc::clone(slots)));
            let mut shared: Option<Times> = None;
            for tile in &group.tiles {
                found.extend(batch(tile, &kept, &series, range, &mut shared, budget));
            }
        }
        found
    }
}

/// The part of a tile that is asked for.
fn batch(
    tile: &Tile,
    kept: &[u32],
    group: &Arc<SeriesGroup>,
    range: TimeRange,
    shared: &mut Option<Times>,
    budget: &Budget,
) -> Option<Batch> {
    let from = tile.times.partition_point(|time| *time < range.start);
    let to = tile.times.partition_point(|time| *time <= range.end).max(from);
    let (mut series, mut columns) = (Vec::new(), Vec::new());
    for (at, column) in tile.series.iter().zip(&tile.columns) {
        if let Ok(place) = kept.binary_search(at) {
            series.push(place as u32);
            columns.push(match column {
                Column::Numbers(cells) => Column::Numbers(cells[from..to].to_vec()),
                Column::Histograms(cells) => Column::Histograms(cells[from..to].to_vec()),
            });
        }
    }
    if from == to || series.is_empty() {
        return None;
    }
    let times = &tile.times[from..to];
    // Batches of the same rows share their times.
    let known = shared.take().filter(|known| **known == *times);
    let times = known.unwrap_or_else(|| Times::new(times.into()));
    *shared = Some(times.clone());
    // As blocks of a store do: of all rows, or nothing is said.
    let is_whole = (from, to) == (0, tile.times.len());
    let summaries = if is_whole { columns.iter().filter_map(Column::summary).collect() } else { Vec::new() };
    Some(Batch {
        group: Arc::clone(group),
        times,
        series: series.into(),
        is_histograms: matches!(columns[0], Column::Histograms(_)),
        summaries: summaries.into(),
        charge: budget.charge(columns.len() * (to - from) * 8).expect("fits"),
        source: Arc::new(Columns(columns)),
    })
}

#[derive(Debug)]
struct Columns(Vec<Column>);

impl ColumnSource for Columns {
    fn floats<'a>(&'a self, column: usize, scratch: &'a mut Floats) -> Result<FloatColumn<'a>, QueryError> {
        let Column::Numbers(cells) = &self.0[column] else { return Ok(FloatColumn::Absent) };
        let bits = |cell: &Option<f64>| cell.map(f64::to_bits);
        if cells.iter().all(Option::is_none) {
            return Ok(FloatColumn::Absent);
        }
        if let Some(value) = cells[0]
            && cells.iter().all(|cell| bits(cell) == Some(value.to_bits()))
        {
            return Ok(FloatColumn::Constant(value));
        }
        scratch.reset(cells.len());
        for (row, cell) in cells.iter().enumerate() {
            cell.iter().for_each(|value| scratch.set(row, *value));
        }
        Ok(scratch.rows(0..cells.len()))
    }

    fn histograms(&self, column: usize) -> Result<Option<Histograms>, QueryError> {
        Ok(match &self.0[column] {
            Column::Numbers(_) => None,
            Column::Histograms(cells) => Some(cells.as_slice().into()),
        })
    }
}

struct Left(std::vec::IntoIter<Batch>);

impl Batches for Left {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Batch>, QueryError>> {
        Box::pin(std::future::ready(Ok(self.0.next())))
    }

    fn coverage(&mut self) -> Coverage {
        coverage()
    }
}

fn coverage() -> Coverage {
    Coverage { warnings: vec!["some of it".to_owned()], ..Coverage::default() }
}

impl Querier for Data {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        let mut all = Collected::new(select.samples_max);
        for batch in self.read(&select.matchers, select.range, &Budget::unlimited()) {
            if let Err(error) = all.add(&batch) {
                return Box::pin(std::future::ready(Err(error)));
            }
        }
        Box::pin(std::future::ready(Ok(all.finish(coverage()))))
    }

    fn batches(&self, select: BatchSelect) -> BoxFuture<'_, Result<Box<dyn Batches + '_>, QueryError>> {
        let found = self.read(&select.matchers, select.range, &select.budget);
        Box::pin(std::future::ready(Ok(Box::new(Left(found.into_iter())) as Box<dyn Batches>)))
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn series(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok((Vec::new(), coverage()))))
    }

    fn label_names(&self, _: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok((Vec::new(), coverage()))))
    }

    fn label_values(
        &self,
        _: &str,
        _: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(std::future::ready(Ok((Vec::new(), coverage()))))
    }
}
