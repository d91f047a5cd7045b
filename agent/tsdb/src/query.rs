//! Answering, window by window: the head for those in memory; for others the blocks, and the log for what no
//! block has.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, Matcher};
use storage::{
    BatchSelect, Batches, BoxFuture, Budget, Collected, Coverage, LabelQuery, Querier, QueryError, Select,
    SeriesSet, StartSeries, TimeRange,
};

use crate::batches::{self, StoreBatches};
use crate::group::{Columns, Group, GroupKey, Matching};
use crate::scan::{Found, Place, Scan};
use crate::sealed::{SealedPlace, SealedReader, SealedStore, SealedWindow};
use crate::state::State;
use crate::store::{Inner, Store};
use crate::streams::{self, Stream, StreamNo};
use crate::window::{SharedRows, WINDOW_MS, Window, day_of, window_of};

/// A group with slots that pass.
pub(crate) struct Source {
    pub(crate) group: Arc<Group>,
    pub(crate) slots: Arc<[u32]>,
    pub(crate) rows: SharedRows,
}

/// Which columns are read, and of which time.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    pub(crate) columns: Columns,
}

impl Wanted {
    fn matching(&self) -> Matching<'_> {
        Matching::of(self.columns, &self.matchers)
    }
}

/// What a limited list says, as Prometheus does.
const TRUNCATED: &str = "results truncated due to limit";

impl Source {
    fn into_found(self) -> Found {
        (self.group, self.slots, Place::Rows(self.rows))
    }
}

impl Querier for Store {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        Box::pin(self.run(select.range, move |inner| inner.select(&select)))
    }

    fn starts(&self, select: Select) -> BoxFuture<'_, Result<Vec<StartSeries>, QueryError>> {
        Box::pin(self.run(select.range, move |inner| inner.starts(select)))
    }

    fn batches(&self, select: BatchSelect) -> BoxFuture<'_, Result<Box<dyn Batches + '_>, QueryError>> {
        let in_memory = self.is_in_memory(select.range);
        Box::pin(async move {
            let batches = StoreBatches::open(Arc::clone(&self.inner), select, in_memory).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }

    fn has_groups(&self) -> bool {
        true
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| Ok(inner.limited(inner.label_sets(&query)?, &query))))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| Ok(inner.limited(inner.names(&query)?, &query))))
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let name = name.to_owned();
        Box::pin(self.run(query.range, move |inner| Ok(inner.limited(inner.values(&name, &query)?, &query))))
    }
}

impl Store {
    /// Whether nothing is read of a file to answer for a range.
    fn is_in_memory(&self, range: TimeRange) -> bool {
        let windows = self.inner.windows_in(range);
        let state = self.inner.state.read();
        let in_memory = |window: i64| {
            let spilled = state.head.windows.get(&window).is_some_and(|window| window.spilled_bytes() > 0);
            state.head.answers(window) && !state.head.is_sealed(window) && !spilled
        };
        windows.into_iter().all(in_memory)
    }

    /// Answers at once where the head suffices; where files are read, on a thread for such work.
    async fn run<T: Send + 'static>(
        &self,
        range: TimeRange,
        answer: impl FnOnce(&Inner) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, QueryError> {
        let in_memory = self.is_in_memory(range);
        let inner = Arc::clone(&self.inner);
        batches::run(in_memory, move || answer(&inner)).await
    }
}

impl Inner {
    pub(crate) fn select(&self, select: &Select) -> Result<SeriesSet, QueryError> {
        let Select { matchers, range, samples_max } = select.clone();
        let mut collected = Collected::new(samples_max);
        // As much as it reads ahead is little against the samples that it may hold.
        let budget = Budget::unlimited();
        let wanted = BatchSelect { matchers, range, budget, newest: false };
        let mut scan = Scan::new(self, wanted, Columns::Samples)?;
        while let Some(batches) = scan.next(self)? {
            batches.iter().try_for_each(|batch| collected.add(batch))?;
        }
        Ok(collected.finish(scan.coverage(self)))
    }

    /// The starts that were kept with samples, as if they were samples themselves.
    fn starts(&self, select: Select) -> Result<Vec<StartSeries>, QueryError> {
        let Select { matchers, range, samples_max } = select;
        let mut collected = Collected::new(samples_max);
        let asked = BatchSelect { matchers, range, budget: Budget::unlimited(), newest: false };
        let mut scan = Scan::new(self, asked, Columns::Starts)?;
        while let Some(batches) = scan.next(self)? {
            batches.iter().try_for_each(|batch| collected.add(batch))?;
        }
        let found = collected.finish(scan.coverage(self)).series.into_iter();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "they were whole milliseconds; others say nothing"
        )]
        let start = |value: f64| (value.fract() == 0.0).then_some(value as i64);
        Ok(found
            .map(|series| StartSeries {
                starts: series
                    .samples
                    .iter()
                    .filter_map(|sample| Some((sample.timestamp, start(sample.value)?)))
                    .collect(),
                labels: series.labels,
            })
            .filter(|series| !series.starts.is_empty())
            .collect())
    }

    /// Starts of the windows that may have samples in a range, in order.
    pub(crate) fn windows_in(&self, range: TimeRange) -> BTreeSet<i64> {
        self.close_late_frame();
        let mut starts: BTreeSet<i64> = self.state.read().windows_in(range).into_iter().collect();
        let floor = self.floor();
        starts.retain(|start| *start >= floor);
        let within = window_of(range.start)..=range.end;
        starts.extend(
            self.vault.windows().iter().map(|window| window.start).filter(|start| within.contains(start)),
        );
        starts
    }

    /// The same, those of a day that is one together.
    pub(crate) fn spans(&self, range: TimeRange) -> Vec<Vec<i64>> {
        let days = self.vault.days();
        let starts: Vec<i64> = self.windows_in(range).into_iter().collect();
        let together = |a: &i64, b: &i64| day_of(*a) == day_of(*b) && days.contains(&day_of(*a));
        starts.chunk_by(together).map(<[i64]>::to_vec).collect()
    }

    /// Where the matching groups of some windows are that are read together: in the head or the log, in blocks, and
    /// of what is damaged there in the log again. And those windows of which the log has all that is damaged.
    pub(crate) fn places(
        &self,
        wanted: &Wanted,
        windows: &[(i64, Option<Arc<SealedWindow>>)],
    ) -> Result<(Vec<Found>, Vec<i64>), QueryError> {
        let (mut found, mut from_log) = (Vec::new(), Vec::new());
        let store = self.vault.get();
        let mut days: BTreeMap<u32, (SealedWindow, TimeRange)> = BTreeMap::new();
        for (start, sealed) in windows {
            // A window that is sealed may be open again, after the clock was set back.
            let in_head = self.state.read().head_sources(wanted, *start);
            let sources = in_head.map_or_else(|| self.log_sources(wanted, *start, sealed.as_ref()), Ok)?;
            found.extend(sources.into_iter().map(Source::into_found));
            let (Some(window), Some(store)) = (sealed, &store) else { continue };
            self.sealed_places(wanted, store, window, wanted.range, &mut found)?;
            if let Some(sources) = self.damaged_sources(wanted, window)? {
                found.extend(sources.found.into_iter().map(Source::into_found));
                from_log.extend(sources.is_whole.then_some(*start));
            }
            if let Some((day, number)) = window.as_day().zip(window.day_number()) {
                let own = TimeRange { start: *start, end: start.saturating_add(WINDOW_MS - 1) };
                // Those of a day that retention has left are its last ones.
                days.entry(number).or_insert((day, own)).1.end = own.end;
            }
        }
        for (day, own) in days.into_values() {
            let range =
                TimeRange { start: own.start.max(wanted.range.start), end: own.end.min(wanted.range.end) };
            if let Some(store) = &store {
                self.sealed_places(wanted, store, &day, range, &mut found)?;
            }
        }
        Ok((found, from_log))
    }

    /// Adds the matching groups that have rows of a range in a window's own blocks, or in those of a day.
    fn sealed_places(
        &self,
        wanted: &Wanted,
        store: &Arc<SealedStore>,
        window: &SealedWindow,
        range: TimeRange,
        found: &mut Vec<Found>,
    ) -> Result<(), QueryError> {
        let mut matching = wanted.matching();
        for place in SealedReader::new(store, window).groups(&self.state, range)? {
            let (group, slots) = (Arc::clone(&place.group), matching.slots(&place.group));
            if !slots.is_empty() {
                let place = SealedPlace { store: Arc::clone(store), start: window.start, range, place };
                found.push((group, slots, Place::Sealed(place)));
            }
        }
        Ok(())
    }

    /// A window's matching groups out of the log: rows that are put together for this one question.
    pub(crate) fn log_sources(
        &self,
        wanted: &Wanted,
        start: i64,
        sealed: Option<&Arc<SealedWindow>>,
    ) -> Result<Vec<Source>, QueryError> {
        let plan = self.state.read().plan_window(start, sealed.cloned());
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let frames = plan.read(&self.files).map_err(|error| QueryError::Unavailable(error.to_string()))?;
        self.sources_of(wanted, &frames, sealed)
    }

    /// The matching groups of some frames of a window, sorted by stream and sequence.
    pub(crate) fn sources_of(
        &self,
        wanted: &Wanted,
        frames: &[Arc<storage::Frame>],
        sealed: Option<&Arc<SealedWindow>>,
    ) -> Result<Vec<Source>, QueryError> {
        let store = self.vault.get();
        let mut matching = wanted.matching();
        let mut window = Window::default();
        let mut groups: HashMap<GroupKey, Option<Source>> = HashMap::new();
        for frame in frames {
            let state = self.state.read();
            let Some((stream, layouts)) = state.resolve(frame) else { continue };
            for layout in &layouts {
                let Entry::Vacant(entry) = groups.entry((stream, layout.id())) else { continue };
                let Some(shape) = state.layouts.shape(layout) else { continue };
                let known = state.streams.get(stream);
                let group = Arc::new(Group::new(stream, known, Arc::clone(layout), Arc::clone(shape)));
                let slots = matching.slots(&group);
                if slots.is_empty() {
                    entry.insert(None);
                    continue;
                }
                let rows = window.rows(stream, &frame.key().stream, layout);
                if let (Some(store), Some(sealed)) = (&store, sealed) {
                    rows.lock().seed(store.tails(sealed, &group)?);
                }
                entry.insert(Some(Source { group, slots, rows }));
            }
            drop(state);
            let is_wanted =
                |_, layout: &storage::Layout| groups.get(&(stream, layout.id())).is_some_and(Option::is_some);
            window.apply_frame(stream, frame, &layouts, &mut usize::MAX.clone(), is_wanted);
        }
        Ok(groups.into_values().flatten().collect())
    }

    /// A list cut to its limit, and its coverage.
    pub(crate) fn limited<T>(
        &self,
        found: impl IntoIterator<Item = T>,
        query: &LabelQuery,
    ) -> (Vec<T>, Coverage) {
        let mut coverage = self.state.read().coverage(query.range);
        self.cover_damage(query.range, &self.healed_by_log(), &mut coverage);
        let mut found = found.into_iter();
        let list: Vec<T> = found.by_ref().take(query.limit).collect();
        if found.next().is_some() {
            coverage.warnings.push(TRUNCATED.to_owned());
        }
        (list, coverage)
    }
}

impl State {
    /// A window's matching groups in the head; none when the head does not have that window.
    fn head_sources(&self, wanted: &Wanted, start: i64) -> Option<Vec<Source>> {
        if !self.head.answers(start) {
            return None;
        }
        let mut matching = wanted.matching();
        let groups = self.head.windows.get(&start).into_iter().flat_map(|window| &window.groups);
        let source = |(key, rows): (&GroupKey, &SharedRows)| {
            let group = &self.head.find(key)?.group;
            let slots = matching.slots(group);
            let (group, rows) = (Arc::clone(group), Arc::clone(rows));
            (!slots.is_empty()).then_some(Source { group, slots, rows })
        };
        Some(groups.filter_map(source).collect())
    }

    /// The layouts that frames outside the head used in a range.
    pub(crate) fn layouts_in_log(&self, range: TimeRange) -> HashSet<(StreamNo, storage::LayoutId)> {
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
                if let streams::Place::Memory(frame) = &entry.place {
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
