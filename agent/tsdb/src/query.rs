//! Answering, window by window: the head for those in memory; for others the blocks, and the log for what no
//! block has.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use model::Labels;
use storage::{BoxFuture, Coverage, LabelQuery, Querier, QueryError, Select, SeriesSet, TimeRange};

use crate::found::{Found, ReadError, Source};
use crate::group::{Group, GroupKey, Matching};
use crate::sealed::{SealedError, SealedReader, SealedWindow};
use crate::state::State;
use crate::store::{Inner, Store};
use crate::streams::{Place, Stream, StreamNo};
use crate::window::{SharedRows, WINDOW_MS, Window, window_of};

/// A group, the slots that pass, and where their samples are in the head.
type Candidate = (Arc<Group>, Arc<[u32]>, Option<SharedRows>);

/// Times that a window is read while it changes.
const TRIES: usize = 8;

/// What a limited list says, as Prometheus does.
const TRUNCATED: &str = "results truncated due to limit";

impl Querier for Store {
    fn select(&self, select: Select) -> BoxFuture<'_, Result<SeriesSet, QueryError>> {
        Box::pin(self.run(select.range, move |inner| inner.select(&select)))
    }

    fn series(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<Labels>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| {
            let mut found = BTreeSet::new();
            inner.visit(&query, |group, slots| {
                found.extend(slots.iter().map(|&slot| group.series(slot)));
            });
            Ok(inner.limited(found, &query))
        }))
    }

    fn label_names(&self, query: LabelQuery) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        Box::pin(self.run(query.range, move |inner| {
            let mut found = BTreeSet::new();
            inner.visit(&query, |group, slots| {
                let common = group.common();
                let mut names: BTreeSet<&str> = common.pairs().map(|(name, _)| name).collect();
                slots.iter().for_each(|&slot| group.names(slot, &mut names));
                names.retain(|name| !found.contains(*name));
                found.extend(names.into_iter().map(str::to_owned));
            });
            Ok(inner.limited(found, &query))
        }))
    }

    fn label_values(
        &self,
        name: &str,
        query: LabelQuery,
    ) -> BoxFuture<'_, Result<(Vec<String>, Coverage), QueryError>> {
        let name = name.to_owned();
        Box::pin(self.run(query.range, move |inner| {
            let mut found: BTreeSet<String> = BTreeSet::new();
            inner.visit(&query, |group, slots| {
                for value in slots.iter().filter_map(|&slot| group.value(slot, &name)) {
                    if !found.contains(&*value) {
                        found.insert(value.into_owned());
                    }
                }
            });
            Ok(inner.limited(found, &query))
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
            let windows = self.inner.windows_in(range);
            let state = self.inner.state.read();
            let in_memory = |window: i64| {
                let spilled =
                    state.head.windows.get(&window).is_some_and(|window| window.spilled_bytes() > 0);
                state.head.answers(window) && !state.head.is_sealed(window) && !spilled
            };
            windows.into_iter().all(in_memory)
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

impl Inner {
    pub(crate) fn select(&self, select: &Select) -> Result<SeriesSet, QueryError> {
        let mut coverage = self.state.read().coverage(select.range);
        let mut found = Found::new(select.samples_max);
        for start in self.windows_in(select.range) {
            self.read_window(select, start, &mut found)?;
            found.close_window()?;
        }
        self.cover_damage(select.range, &mut coverage);
        let (series, histograms) = found.finish();
        let mut set = SeriesSet { series, histograms, coverage };
        self.hide(&mut set, select.range);
        Ok(set)
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

    /// Says which damage is known in a range.
    pub(crate) fn cover_damage(&self, range: TimeRange, coverage: &mut Coverage) {
        let damage = self.vault.damage().into_iter();
        coverage
            .gaps
            .extend(damage.filter(|gap| range.overlaps(&TimeRange { start: gap.start, end: gap.end })));
    }

    fn read_window(&self, select: &Select, start: i64, found: &mut Found) -> Result<(), QueryError> {
        for _ in 0..TRIES {
            let sealed = self.vault.window(start);
            match &sealed {
                None => self.read_unsealed(select, start, None, found)?,
                Some(window) => {
                    self.read_unsealed(select, start, Some(window), found)?;
                    self.read_sealed(select, window, found)?;
                }
            }
            // Where it was sealed meanwhile, the log may have lost what was looked for there.
            if self.vault.window(start).as_ref().map(Arc::as_ptr) == sealed.as_ref().map(Arc::as_ptr) {
                return Ok(());
            }
            found.drop_window();
        }
        Err(QueryError::Unavailable("a window was sealed again and again while it was read".to_owned()))
    }

    /// A window's blocks.
    fn read_sealed(
        &self,
        select: &Select,
        window: &Arc<SealedWindow>,
        found: &mut Found,
    ) -> Result<(), QueryError> {
        let unavailable = |error: SealedError| QueryError::Unavailable(error.to_string());
        let Some(store) = self.vault.get() else { return Ok(()) };
        let mut reader = SealedReader::new(&store, window).map_err(unavailable)?;
        let places = reader.groups(&self.state, select.range);
        let mut matching = Matching::new(&select.matchers);
        for place in places {
            let slots = matching.slots(&place.group);
            let group = &place.group;
            if group.layout.has_histograms() {
                // A histogram's columns may lie in several blocks.
                let mut columns = vec![Vec::new(); slots.len()];
                reader.points(&place, &slots, select.range, |slot, points| {
                    if let Ok(at) = slots.binary_search(&slot) {
                        columns[at].extend(points);
                    }
                    Ok::<(), QueryError>(())
                })?;
                found.add_mixed(group, &slots, columns)?;
                continue;
            }
            reader.points(&place, &slots, select.range, |slot, points| found.add(group, slot, points))?;
        }
        Ok(())
    }

    /// What a window has beside its blocks; nothing else of it was read yet.
    fn read_unsealed(
        &self,
        select: &Select,
        start: i64,
        sealed: Option<&Arc<SealedWindow>>,
        found: &mut Found,
    ) -> Result<(), QueryError> {
        {
            let sources = self.state.read().head_sources(select, start);
            let read = sources.map(|sources| found.read(&sources, select.range));
            match read {
                Some(Ok(())) => {}
                Some(Err(ReadError::Query(error))) => return Err(error),
                Some(Err(ReadError::Head(error))) => {
                    tracing::error!(%error, window = start, "the head's file cannot be read: the log is, from now on");
                    found.drop_window();
                    self.state.write().head.give_up(start);
                    self.read_log(select, start, sealed, found)?;
                }
                None => self.read_log(select, start, sealed, found)?,
            }
        }
        Ok(())
    }

    fn read_log(
        &self,
        select: &Select,
        start: i64,
        sealed: Option<&Arc<SealedWindow>>,
        found: &mut Found,
    ) -> Result<(), QueryError> {
        found.read(&self.log_sources(select, start, sealed)?, select.range).map_err(|error| match error {
            ReadError::Query(error) => error,
            ReadError::Head(error) => QueryError::Unavailable(error.to_string()),
        })
    }

    /// A window's matching groups out of the log: rows that are put together for this one question.
    pub(crate) fn log_sources(
        &self,
        select: &Select,
        start: i64,
        sealed: Option<&Arc<SealedWindow>>,
    ) -> Result<Vec<Source>, QueryError> {
        let plan = self.state.read().plan_window(start, sealed.cloned());
        if plan.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.vault.get();
        let frames = plan.read(&self.files).map_err(|error| QueryError::Unavailable(error.to_string()))?;
        let mut matching = Matching::new(&select.matchers);
        let mut window = Window::default();
        let mut wanted: HashMap<GroupKey, Option<Source>> = HashMap::new();
        for frame in frames {
            let state = self.state.read();
            let Some((stream, layouts)) = state.resolve(&frame) else { continue };
            for layout in &layouts {
                wanted.entry((stream, layout.id())).or_insert_with(|| {
                    let shape = Arc::clone(state.layouts.shape(layout)?);
                    let known = state.streams.get(stream);
                    let group = Arc::new(Group::new(stream, known, Arc::clone(layout), shape));
                    let slots = matching.slots(&group);
                    if slots.is_empty() {
                        return None;
                    }
                    let rows = window.rows(stream, layout);
                    if let (Some(store), Some(sealed)) = (&store, sealed) {
                        rows.lock().seed(store.tails(sealed, &group));
                    }
                    Some(Source { group, slots, rows })
                });
            }
            drop(state);
            let is_wanted =
                |layout: &storage::Layout| wanted.get(&(stream, layout.id())).is_some_and(Option::is_some);
            window.apply_frame(stream, &frame, &layouts, &mut usize::MAX.clone(), is_wanted);
        }
        Ok(wanted.into_values().flatten().collect())
    }

    /// Gives groups and those of their slots that pass and may have samples in the range, some several times.
    fn visit(&self, query: &LabelQuery, mut visit: impl FnMut(&Group, &[u32])) {
        let candidates = self.state.read().candidates(query);
        for (group, slots, rows) in candidates {
            let Some(rows) = rows else {
                visit(&group, &slots);
                continue;
            };
            let view = rows.lock().view(&slots, query.range);
            let held = view.held();
            if !held.is_empty() {
                visit(&group, &held);
            }
        }
        self.visit_sealed(query, visit);
    }

    /// The same for sealed windows: a group with a row in the range counts with all of its slots.
    fn visit_sealed(&self, query: &LabelQuery, mut visit: impl FnMut(&Group, &[u32])) {
        let Some(store) = self.vault.get() else { return };
        let mut groups: HashMap<GroupKey, Arc<Group>> = HashMap::new();
        for window in self.vault.windows() {
            let end = window.start.saturating_add(WINDOW_MS - 1);
            if !query.range.overlaps(&TimeRange { start: window.start, end }) {
                continue;
            }
            match SealedReader::new(&store, &window) {
                Ok(reader) => {
                    let places = reader.groups(&self.state, query.range);
                    groups.extend(places.into_iter().map(|place| (place.group.key(), place.group)));
                }
                Err(error) => tracing::error!(%error, "sealed data cannot be read"),
            }
        }
        let all = [Vec::new()];
        let sets = if query.matcher_sets.is_empty() { &all[..] } else { &query.matcher_sets };
        for matchers in sets {
            let mut matching = Matching::new(matchers);
            for group in groups.values() {
                let slots = matching.slots(group);
                if !slots.is_empty() {
                    visit(group, &slots);
                }
            }
        }
    }

    /// A list cut to its limit, and its coverage.
    fn limited<T>(&self, found: impl IntoIterator<Item = T>, query: &LabelQuery) -> (Vec<T>, Coverage) {
        let mut coverage = self.state.read().coverage(query.range);
        self.cover_damage(query.range, &mut coverage);
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
    fn head_sources(&self, select: &Select, start: i64) -> Option<Vec<Source>> {
        if !self.head.answers(start) {
            return None;
        }
        let mut matching = Matching::new(&select.matchers);
        let groups = self.head.windows.get(&start).into_iter().flat_map(|window| &window.groups);
        let source = |(key, rows): (&GroupKey, &SharedRows)| {
            let group = &self.head.find(key)?.group;
            let slots = matching.slots(group);
            let (group, rows) = (Arc::clone(group), Arc::clone(rows));
            (!slots.is_empty()).then_some(Source { group, slots, rows })
        };
        Some(groups.filter_map(source).collect())
    }

    /// Groups and those of their slots that pass, some several times; with rows those of them count that have a
    /// sample in the range.
    fn candidates(&self, query: &LabelQuery) -> Vec<Candidate> {
        let mut found = Vec::new();
        let all = [Vec::new()];
        let sets = if query.matcher_sets.is_empty() { &all[..] } else { &query.matcher_sets };
        let outside = self.layouts_in_log(query.range);
        for matchers in sets {
            let mut matching = Matching::new(matchers);
            for (_, window) in self.head.windows.iter().filter(|(start, _)| self.head.answers(**start)) {
                for (key, rows) in &window.groups {
                    let Some(known) = self.head.find(key) else { continue };
                    let slots = matching.slots(&known.group);
                    found.push((Arc::clone(&known.group), slots, Some(Arc::clone(rows))));
                }
            }
            for &(stream, layout) in &outside {
                let known =
                    self.layouts.get(layout).and_then(|layout| Some((layout, self.layouts.shape(layout)?)));
                let Some((layout, shape)) = known else { continue };
                let owner = self.streams.get(stream);
                let group = Arc::new(Group::new(stream, owner, Arc::clone(layout), Arc::clone(shape)));
                let slots = matching.slots(&group);
                found.push((group, slots, None));
            }
        }
        found.retain(|(_, slots, _)| !slots.is_empty());
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
