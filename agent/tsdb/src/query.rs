//! Answering: the head for the windows in memory, the log for all others, window by window.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, Matcher, Sample, Series};
use storage::{BoxFuture, Coverage, LabelQuery, Querier, QueryError, Select, SeriesSet, TimeRange};

use crate::series::SeriesTable;
use crate::state::State;
use crate::store::{Inner, Store};
use crate::streams::{Place, Stream, StreamNo};
use crate::window::{Point, Window, window_of};

/// What a limited list says, as Prometheus does.
const TRUNCATED: &str = "results truncated due to limit";

impl Querier for Store {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        Box::pin(self.run(select.range, move |inner| inner.select(&select)))
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| {
            let found = inner.state.read().series_in(&query);
            Ok(inner.limited(found, &query))
        }))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| {
            let mut names = BTreeSet::new();
            for labels in inner.state.read().series_in(&query) {
                names.extend(labels.iter().map(|label| Arc::clone(&label.name)));
            }
            Ok(inner.limited(names.iter().map(ToString::to_string), &query))
        }))
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let name = name.to_owned();
        Box::pin(self.run(query.range, move |inner| {
            let mut values = BTreeSet::new();
            for labels in inner.state.read().series_in(&query) {
                values.extend(labels.get(&name).map(ToOwned::to_owned));
            }
            Ok(inner.limited(values, &query))
        }))
    }
}

impl Store {
    /// Answers at once where the head suffices; where files are read, on a thread for such work.
    async fn run<T: Send + 'static>(
        &self,
        range: TimeRange,
        answer: impl FnOnce(&Inner) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let in_memory = {
            let state = self.inner.state.read();
            state.windows_in(range).into_iter().all(|window| state.head.answers(window))
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !in_memory => {
                let inner = Arc::clone(&self.inner);
                let answered = runtime.spawn_blocking(move || answer(&inner)).await;
                answered.map_err(|_| QueryError::Unavailable("the query was cancelled".to_owned()))?
            }
            _ => answer(&self.inner),
        }
    }
}

/// Samples by series, as they are found.
struct Found {
    series: BTreeMap<Labels, Vec<Sample>>,
    samples: usize,
    samples_max: usize,
}

impl Found {
    fn add(&mut self, labels: &Labels, points: &[Point]) -> Result<(), QueryError> {
        if points.is_empty() {
            return Ok(());
        }
        self.samples += points.len();
        self.check(0)?;
        let samples = points.iter().map(|point| Sample::new(point.timestamp, f64::from_bits(point.bits)));
        match self.series.get_mut(labels) {
            Some(known) => known.extend(samples),
            None => drop(self.series.insert(labels.clone(), samples.collect())),
        }
        Ok(())
    }

    fn check(&self, more: usize) -> Result<(), QueryError> {
        if self.samples.saturating_add(more) <= self.samples_max {
            return Ok(());
        }
        let max = self.samples_max;
        Err(QueryError::Limit(format!(
            "query processing would load too many samples into memory in query execution (limit {max})"
        )))
    }
}

impl Inner {
    fn select(&self, select: &Select) -> Result<SeriesSet, QueryError> {
        let (windows, coverage) = {
            let state = self.state.read();
            (state.windows_in(select.range), state.coverage(select.range))
        };
        let mut found = Found { series: BTreeMap::new(), samples: 0, samples_max: select.samples_max };
        for start in windows {
            if !self.select_head(select, start, &mut found)? {
                self.select_log(select, start, &mut found)?;
            }
        }
        let series = found.series.into_iter().map(|(labels, samples)| Series { labels, samples }).collect();
        Ok(SeriesSet { series, coverage })
    }

    /// Adds a window's samples from the head; `false` when the head does not have that window.
    fn select_head(&self, select: &Select, start: i64, found: &mut Found) -> Result<bool, QueryError> {
        let state = self.state.read();
        if !state.head.answers(start) {
            return Ok(false);
        }
        let Some(window) = state.head.windows.get(&start) else { return Ok(true) };
        for (series, labels) in state.head.table.matching(&select.matchers) {
            if let Some(points) = window.series.get(&series) {
                found.add(labels, within(points, select.range))?;
            }
        }
        Ok(true)
    }

    /// Adds a window's samples from the log: a head window built for this one question.
    fn select_log(&self, select: &Select, start: i64, found: &mut Found) -> Result<(), QueryError> {
        let plan = self.state.read().plan_window(start);
        let frames =
            plan.read(start, &self.files).map_err(|error| QueryError::Unavailable(error.to_string()))?;
        let mut table = SeriesTable::filtered(select.matchers.clone());
        let mut window = Window::within(select.range);
        for frame in frames {
            let state = self.state.read();
            let Some((stream, layouts)) = state.resolve(&frame) else { continue };
            let mut resolve = |layout: &Arc<_>| table.of_layout(&state.streams, stream, layout);
            window.apply_frame(
                &state.streams,
                stream,
                &frame,
                &layouts,
                &mut usize::MAX.clone(),
                &mut resolve,
            );
            found.check(window.samples)?;
        }
        for (series, entry) in table.iter() {
            if let Some(points) = window.series.get(&series) {
                found.add(&entry.labels, within(points, select.range))?;
            }
        }
        Ok(())
    }

    /// A list cut to its limit, and its coverage.
    fn limited<T>(&self, found: impl IntoIterator<Item = T>, query: &LabelQuery) -> (Vec<T>, Coverage) {
        let mut coverage = self.state.read().coverage(query.range);
        let mut found = found.into_iter();
        let list: Vec<T> = found.by_ref().take(query.limit).collect();
        if found.next().is_some() {
            coverage.warnings.push(TRUNCATED.to_owned());
        }
        (list, coverage)
    }
}

impl State {
    /// The label sets that pass and may have samples in the range.
    fn series_in(&self, query: &LabelQuery) -> BTreeSet<Labels> {
        let passes = |labels: &Labels| {
            let all = |matchers: &Vec<Matcher>| matchers.iter().all(|matcher| matcher.matches_labels(labels));
            query.matcher_sets.is_empty() || query.matcher_sets.iter().any(all)
        };
        let mut found = BTreeSet::new();
        for (&start, window) in &self.head.windows {
            if !self.head.answers(start) {
                continue;
            }
            for (series, points) in &window.series {
                if within(points, query.range).is_empty() {
                    continue;
                }
                if let Some(entry) = self.head.table.get(*series)
                    && !found.contains(&entry.labels)
                    && passes(&entry.labels)
                {
                    found.insert(entry.labels.clone());
                }
            }
        }
        for (stream, layout) in self.layouts_in_log(query.range) {
            let Some(layout) = self.layouts.get(&layout) else { continue };
            let owner = self.streams.get(stream);
            let shown = (0..layout.slots().len()).map(|slot| owner.shown(layout.series(slot)));
            found.extend(shown.filter(|labels| passes(labels)));
        }
        found
    }

    /// The layouts that frames outside the head used in a range.
    fn layouts_in_log(&self, range: TimeRange) -> HashSet<(StreamNo, storage::LayoutId)> {
        let outside = |held: &TimeRange| {
            let (first, last) = (window_of(held.start), window_of(held.end));
            held.overlaps(&range) && !(self.head.answers(first) && self.head.answers(last))
        };
        let mut found = HashSet::new();
        for segment in self.segments.values() {
            let used = segment.layouts.iter().filter(|(_, held)| outside(held));
            found.extend(used.map(|(&key, _)| key));
        }
        for (no, stream) in self.streams.iter() {
            for (_, entry) in stream.in_memory().filter(|(_, entry)| outside(&entry.range)) {
                if let Place::Memory(frame) = &entry.place {
                    found.extend(frame.layouts().iter().map(|&layout| (no, layout)));
                }
            }
        }
        found
    }

    /// How complete answers over a range are: each agent's newest stream tells how far it has come.
    pub(crate) fn coverage(&self, range: TimeRange) -> Coverage {
        let mut latest: HashMap<&str, &Stream> = HashMap::new();
        let written = self.streams.iter().map(|(_, stream)| stream);
        for stream in written.filter(|stream| !stream.received.is_empty()) {
            let known = latest.entry(&stream.info.id.agent).or_insert(stream);
            if (stream.info.minted_ms, stream.info.id.epoch) > (known.info.minted_ms, known.info.id.epoch) {
                *known = stream;
            }
        }
        let mut complete_through: Vec<(String, i64)> = latest
            .into_iter()
            .map(|(agent, stream)| (agent.to_owned(), self.complete_through(stream)))
            .collect();
        complete_through.sort();
        let missing = |gap: &&storage::Gap| range.overlaps(&TimeRange { start: gap.start, end: gap.end });
        let gaps = self.gaps.iter().filter(missing).cloned().collect();
        Coverage { complete_through, gaps, warnings: Vec::new() }
    }

    /// The time of the last frame before the first hole.
    fn complete_through(&self, stream: &Stream) -> i64 {
        let Some(first) = stream.received.ranges().next() else { return i64::MIN };
        if stream.received.last() == Some(*first.end()) {
            return stream.newest;
        }
        // A frame that is no longer listed is older than the head.
        stream.recent.get(first.end()).map_or(self.head.span()[0], |entry| entry.range.end)
    }
}

/// The points of a range.
fn within(points: &[Point], range: TimeRange) -> &[Point] {
    let from = points.partition_point(|point| point.timestamp < range.start);
    let to = points.partition_point(|point| point.timestamp <= range.end);
    &points[from..to.max(from)]
}
