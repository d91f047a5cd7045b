//! What a store tells about itself: its size, and which names and labels it holds most of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::{Labels, METRIC_NAME, Metadata};

use crate::sealed::Generation;
use crate::state::State;
use crate::store::{Inner, Store};
use crate::streams::Place;
use crate::window::{DAY_MS, WINDOW_MS, Window};

/// The size of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Series in the head.
    pub series: u64,
    /// Samples in the head.
    pub samples: u64,
    /// Oldest time in the head, milliseconds since the Unix epoch; none when it is empty.
    pub min_time: Option<i64>,
    /// Newest time in the head.
    pub max_time: Option<i64>,
    /// Segments of the log.
    pub segments: u64,
    /// Bytes of the log and of sealed windows.
    pub bytes: u64,
    /// Windows of two hours that are sealed.
    pub sealed_windows: u64,
    /// Days that such windows were put together to.
    pub sealed_days: u64,
    /// Samples in their blocks.
    pub sealed_samples: u64,
}

/// A name and how many (or how many bytes) it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// A metric, a label, or `label=value`.
    pub name: String,
    /// How many.
    pub value: u64,
}

/// What the head holds most of, greatest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series of each metric name.
    pub series_by_metric: Vec<Count>,
    /// Values of each label name.
    pub values_by_label: Vec<Count>,
    /// Bytes of each label name's values, each value counted once a series.
    pub bytes_by_label: Vec<Count>,
    /// Series of each `name=value`.
    pub series_by_pair: Vec<Count>,
    /// Different `name=value` pairs.
    pub pairs: u64,
    /// Different label names.
    pub names: u64,
}

/// A sealed window of two hours, or a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedPart {
    /// Tells it from others that begin at the same time.
    pub number: u32,
    /// Its first time, in milliseconds since the Unix epoch.
    pub start: i64,
    /// No sample is at that time or later.
    pub end: i64,
    /// Samples.
    pub samples: u64,
    /// Whether it is a day.
    pub is_day: bool,
}

impl Store {
    /// What is sealed, oldest first.
    #[must_use]
    pub fn sealed_parts(&self) -> Vec<SealedPart> {
        let part = |(start, generation): &(i64, Arc<Generation>)| SealedPart {
            number: generation.order(),
            start: *start,
            end: start.saturating_add(if generation.is_day() { DAY_MS } else { WINDOW_MS }),
            samples: generation.samples,
            is_day: generation.is_day(),
        };
        let mut parts: Vec<SealedPart> = self.inner.vault.generations().iter().map(part).collect();
        parts.sort_by_key(|part| (part.start, part.number));
        parts
    }

    /// What was said of the metrics whose samples the store has, by name; of one that nothing was said of, nothing.
    #[must_use]
    pub fn metadata(&self) -> BTreeMap<String, Vec<Arc<Metadata>>> {
        // Looked through without holding anybody up.
        let shapes = self.inner.state.read().layouts.shapes();
        let mut said: BTreeMap<String, Vec<Arc<Metadata>>> = BTreeMap::new();
        let unsaid = Metadata::default();
        for slot in shapes.iter().flat_map(|shape| shape.slots().iter()) {
            let name = slot.labels.metric_name();
            if *slot.metadata == unsaid || name.is_empty() {
                continue;
            }
            match said.get_mut(name) {
                Some(known) if known.contains(&slot.metadata) => {}
                Some(known) => known.push(Arc::clone(&slot.metadata)),
                None => drop(said.insert(name.to_owned(), vec![Arc::clone(&slot.metadata)])),
            }
        }
        said
    }

    /// The store's size now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.inner.status()
    }

    /// What the head holds most of, at most `limit` entries a list.
    #[must_use]
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let groups: Vec<_> = self.inner.state.read().head.groups().cloned().collect();
        let all: HashSet<Labels> = groups
            .iter()
            .flat_map(|group| (0..group.slots() as u32).map(|slot| group.series(slot)))
            .collect();
        Cardinality::of(&all, limit)
    }
}

impl Cardinality {
    /// Of these series, at most `limit` entries a list.
    pub(crate) fn of(all: &HashSet<Labels>, limit: usize) -> Self {
        let mut metrics: HashMap<&str, u64> = HashMap::new();
        let mut pairs: HashMap<(&str, &str), u64> = HashMap::new();
        for labels in all {
            for (name, value) in labels.pairs() {
                if name == METRIC_NAME {
                    *metrics.entry(value).or_default() += 1;
                }
                *pairs.entry((name, value)).or_default() += 1;
            }
        }
        let (mut values, mut bytes): (HashMap<&str, u64>, HashMap<&str, u64>) = Default::default();
        for (&(name, value), &count) in &pairs {
            *values.entry(name).or_default() += 1;
            *bytes.entry(name).or_default() += value.len() as u64 * count;
        }
        let top_pairs = pairs.iter().map(|(&(name, value), &count)| (format!("{name}={value}"), count));
        Self {
            names: values.len() as u64,
            series_by_metric: top(metrics, limit),
            values_by_label: top(values, limit),
            bytes_by_label: top(bytes, limit),
            series_by_pair: top(top_pairs, limit),
            pairs: pairs.len() as u64,
        }
    }
}

impl Inner {
    pub(crate) fn status(&self) -> Status {
        let segments = self.writer.lock().log.segments();
        let series = self.state.write().head.series() as u64;
        let state = self.state.read();
        let times = state.head.times();
        let generations = self.vault.generations();
        Status {
            sealed_windows: self.vault.windows().len() as u64,
            sealed_days: generations.iter().filter(|(_, generation)| generation.is_day()).count() as u64,
            sealed_samples: generations.iter().map(|(_, generation)| generation.samples).sum(),
            series,
            samples: state.head.samples() as u64,
            min_time: times.map(|times| times.0),
            max_time: times.map(|times| times.1),
            segments: segments.len() as u64,
            bytes: segments.iter().map(|segment| segment.bytes).sum::<u64>() + self.sealed_bytes(),
        }
    }

    /// Bytes that the index over slots takes up: of shapes that the log uses, and of those kept from sealed data.
    pub(crate) fn index_bytes(&self) -> usize {
        let sealed = self.vault.get().map_or(0, |store| store.identity.index_bytes());
        self.state.read().layouts.index_bytes() + sealed
    }

    /// Bytes of sealed windows.
    pub(crate) fn sealed_bytes(&self) -> u64 {
        self.vault.generations().iter().map(|(_, generation)| generation.bytes).sum()
    }

    pub(crate) fn update_metrics(&self) {
        let status = self.status();
        let metrics = &self.metrics;
        metrics.series.set(status.series as i64);
        metrics.min_time.set(status.min_time.unwrap_or_default());
        metrics.max_time.set(status.max_time.unwrap_or_default());
        metrics.segments.set(status.segments as i64);
        metrics.bytes.set(status.bytes as i64);
        let spilled: u64 = self.state.read().head.windows.values().map(Window::spilled_bytes).sum();
        metrics.spilled_bytes.set(spilled as i64);
        metrics.index_bytes.set(self.index_bytes() as i64);
        self.exemplars.lock().show(&metrics.exemplars);
    }
}

impl State {
    /// Forgets what lay in a segment that was removed.
    pub(crate) fn forget_places(&mut self, segment: u64) {
        for stream in self.streams.iter_mut() {
            stream.recent.retain(|_, entry| !matches!(entry.place, Place::Log(at) if at.segment == segment));
        }
    }

    /// Forgets layouts that neither the log nor the head nor the own node uses.
    pub(crate) fn drop_unused_layouts(&mut self) {
        let mut used = self.own.layouts();
        for segment in self.segments.values() {
            used.extend(segment.layouts.keys().map(|(_, layout)| *layout));
        }
        for (_, stream) in self.streams.iter() {
            for (_, entry) in stream.in_memory() {
                if let Place::Memory(frame) = &entry.place {
                    used.extend(frame.layouts());
                }
            }
        }
        self.layouts.retain(&used);
    }
}

/// The greatest first, equals by name.
fn top<N: Into<String>>(counts: impl IntoIterator<Item = (N, u64)>, limit: usize) -> Vec<Count> {
    let mut list: Vec<Count> =
        counts.into_iter().map(|(name, value)| Count { name: name.into(), value }).collect();
    list.sort_by(|a, b| b.value.cmp(&a.value).then_with(|| a.name.cmp(&b.name)));
    list.truncate(limit);
    list
}
