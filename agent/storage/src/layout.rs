//! Layouts: what the columns of a row mean.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use model::{Labels, Metadata};

use crate::error::AppendError;
use crate::histogram::Part;

/// The 128-bit hash of a layout's content: equal layouts have equal ids on every machine.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutId(pub u128);

impl fmt::Debug for LayoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for LayoutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The 128-bit hash of a layout's slots: equal exporters have equal shapes, whatever their target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShapeId(pub u128);

/// One column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The metric part of the series: its name and own labels, none of which the target has too.
    pub labels: Labels,
    /// What the page said of the family; columns of one family share it.
    pub metadata: Arc<Metadata>,
    /// What the column holds of a histogram, or that it holds starts; none where it holds numbers. A histogram's
    /// columns stand side by side, all with its labels and metadata, in the order of [`Part::code`].
    pub part: Option<Arc<Part>>,
}

impl Slot {
    /// A column of numbers.
    #[must_use]
    pub fn new(labels: Labels, metadata: impl Into<Arc<Metadata>>) -> Self {
        Self { labels, metadata: metadata.into(), part: None }
    }

    /// A column of starts of the series with these labels.
    #[must_use]
    pub fn of_starts(labels: Labels) -> Self {
        Self { labels, metadata: Arc::default(), part: Some(Arc::new(Part::Start)) }
    }

    /// Whether a series begins here, or its starts do: whether it is no further column of the histogram before.
    #[must_use]
    pub fn begins_series(&self) -> bool {
        self.part.as_ref().is_none_or(|part| part.is_first())
    }

    /// Whether the column holds starts.
    #[must_use]
    pub fn is_start(&self) -> bool {
        self.part.as_deref() == Some(&Part::Start)
    }

    /// Whether the column holds a part of a histogram.
    #[must_use]
    pub fn is_of_histogram(&self) -> bool {
        self.part.is_some() && !self.is_start()
    }
}

/// A target's labels and the ordered metric parts of its page. Immutable; named by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    id: LayoutId,
    shape: ShapeId,
    target: Labels,
    slots: Arc<[Slot]>,
    /// How many slots begin a series.
    series: usize,
    /// Whether some hold parts of histograms.
    histograms: bool,
    /// Whether some hold starts.
    starts: bool,
}

impl Layout {
    /// Columns that one layout may have; a page with more is spread over several.
    pub const SLOTS_MAX: usize = 1 << 20;

    /// A layout. Lines that override a target's label belong to another layout, whose target lacks it.
    ///
    /// # Errors
    /// When a slot repeats a label name of the target, two slots are the same series, or starts of the same, a
    /// histogram's columns are out of order, or there are more than [`Layout::SLOTS_MAX`].
    pub fn new(target: Labels, slots: Vec<Slot>) -> Result<Self, AppendError> {
        if slots.len() > Self::SLOTS_MAX {
            return Err(AppendError::Layout(format!("{} slots, at most {}", slots.len(), Self::SLOTS_MAX)));
        }
        let mut seen = HashSet::with_capacity(slots.len());
        for (at, slot) in slots.iter().enumerate() {
            if let Some(label) = slot.labels.iter().find(|label| target.has(&label.name)) {
                return Err(AppendError::Layout(format!(
                    "slot {} repeats the target's label {}",
                    slot.labels, label.name
                )));
            }
            if !slot.begins_series() {
                follows(at.checked_sub(1).map(|before| &slots[before]), slot)?;
            } else if !seen.insert((&slot.labels, slot.is_start())) {
                return Err(AppendError::Layout(format!("two slots are {}", slot.labels)));
            }
        }
        let series = seen.iter().filter(|(_, is_start)| !is_start).count();
        drop(seen);
        let (id, shape) = Self::hash(&target, &slots);
        Ok(Self::of(id, shape, target, slots.into(), series))
    }

    /// The layout of that id, if it is of just these: whoever gave it the id has looked at all that makes one valid.
    #[must_use]
    pub fn known(id: LayoutId, target: Labels, slots: Vec<Slot>) -> Option<Self> {
        let (own, shape) = Self::hash(&target, &slots);
        let series = slots.iter().filter(|slot| slot.begins_series() && !slot.is_start()).count();
        (own == id && slots.len() <= Self::SLOTS_MAX)
            .then(|| Self::of(id, shape, target, slots.into(), series))
    }

    fn of(id: LayoutId, shape: ShapeId, target: Labels, slots: Arc<[Slot]>, series: usize) -> Self {
        let histograms = slots.iter().any(Slot::is_of_histogram);
        let starts = slots.iter().any(Slot::is_start);
        Self { id, shape, target, slots, series, histograms, starts }
    }

    /// The id: the same for the same content.
    #[must_use]
    pub fn id(&self) -> LayoutId {
        self.id
    }

    /// The id of its slots alone.
    #[must_use]
    pub fn shape(&self) -> ShapeId {
        self.shape
    }

    /// The columns, to be shared with other layouts of this shape.
    #[must_use]
    pub fn shared_slots(&self) -> &Arc<[Slot]> {
        &self.slots
    }

    /// The same layout over slots that another layout of its shape has already; others change nothing.
    #[must_use]
    pub fn sharing(self, slots: &Arc<[Slot]>) -> Self {
        if *self.slots == **slots { Self { slots: Arc::clone(slots), ..self } } else { self }
    }

    /// Labels that all series of the layout share.
    #[must_use]
    pub fn target(&self) -> &Labels {
        &self.target
    }

    /// The columns in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How many series it has.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series
    }

    /// Whether columns of histograms are among its slots.
    #[must_use]
    pub fn has_histograms(&self) -> bool {
        self.histograms
    }

    /// Whether columns of starts are among its slots.
    #[must_use]
    pub fn has_starts(&self) -> bool {
        self.starts
    }

    /// The whole label set of a slot's series.
    #[must_use]
    pub fn series(&self, slot: usize) -> Labels {
        let mut builder = self.target.to_builder();
        for label in self.slots[slot].labels.iter() {
            builder.set(label.name.clone(), label.value.clone());
        }
        builder.build()
    }

    /// XXH3-128 over every text in order, each preceded by its length: once over all of it, once over the
    /// slots alone. Then over each part, with its slot's position.
    fn hash(target: &Labels, slots: &[Slot]) -> (LayoutId, ShapeId) {
        let mut texts = Texts::default();
        put_labels(&mut texts.waiting, target);
        texts.begin_slots();
        for slot in slots {
            put_labels(&mut texts.waiting, &slot.labels);
            texts.hash_if_much();
        }
        for slot in slots {
            let Metadata { metric_type, unit, help } = &*slot.metadata;
            for text in [metric_type.as_str(), unit, help] {
                put_text(&mut texts.waiting, text);
            }
            texts.hash_if_much();
        }
        for (at, part) in slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.part.as_ref()?))) {
            put_part(&mut texts.waiting, at, part);
            texts.hash_if_much();
        }
        texts.finish()
    }
}

/// Bytes that are hashed at once.
const MUCH: usize = 32 << 10;

/// What a layout's hashes are of. The texts are short: they are hashed many at a time.
#[derive(Default)]
struct Texts {
    waiting: Vec<u8>,
    of_all: xxhash_rust::xxh3::Xxh3,
    of_slots: xxhash_rust::xxh3::Xxh3,
}

impl Texts {
    /// What comes from here on is of the slots.
    fn begin_slots(&mut self) {
        self.of_all.update(&self.waiting);
        self.waiting.clear();
    }

    fn hash_if_much(&mut self) {
        if self.waiting.len() >= MUCH {
            self.hash();
        }
    }

    fn hash(&mut self) {
        self.of_all.update(&self.waiting);
        self.of_slots.update(&self.waiting);
        self.waiting.clear();
    }

    fn finish(mut self) -> (LayoutId, ShapeId) {
        self.hash();
        (LayoutId(self.of_all.digest128()), ShapeId(self.of_slots.digest128()))
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Position in 8 bytes, code in 1, index in 4; of a first part whether it counts in integers in 1, the schema
/// in 4, and each bound in 8.
fn put_part(out: &mut Vec<u8>, at: usize, part: &Part) {
    let (code, index) = part.code();
    out.extend_from_slice(&(at as u64).to_le_bytes());
    out.push(code);
    out.extend_from_slice(&index.to_le_bytes());
    if let Part::Sum(shape) = part {
        let (integer, schema, bounds) = shape.numbers();
        out.push(u8::from(integer));
        out.extend_from_slice(&schema.to_le_bytes());
        bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_bits().to_le_bytes()));
    }
}

/// Whether a further column of a histogram may stand where it does.
fn follows(before: Option<&Slot>, slot: &Slot) -> Result<(), AppendError> {
    let belongs = |before: &&Slot| match (&before.part, &slot.part) {
        (Some(own), Some(part)) => {
            before.labels == slot.labels && before.metadata == slot.metadata && own.is_followed_by(part)
        }
        _ => false,
    };
    match before.filter(belongs) {
        Some(_) => Ok(()),
        None => {
            Err(AppendError::Layout(format!("a column of the histogram {} is out of place", slot.labels)))
        }
    }
}

fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_text(out, &labels.len().to_string());
    for (name, value) in labels.pairs() {
        put_text(out, name);
        put_text(out, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(pairs: &[(&str, &str)]) -> Slot {
        Slot::new(Labels::from_pairs(pairs.iter().copied()), Metadata::default())
    }

    #[test]
    fn a_layout_is_named_by_its_content() {
        let target = || Labels::from_pairs([("job", "n")]);
        let one = Layout::new(target(), vec![slot(&[("__name__", "a")])]).expect("valid");
        assert_eq!(one.id(), Layout::new(target(), vec![slot(&[("__name__", "a")])]).expect("valid").id());
        assert_ne!(one.id(), Layout::new(target(), vec![slot(&[("__name__", "b")])]).expect("valid").id());
        assert_eq!(one.series(0), Labels::from_pairs([("__name__", "a"), ("job", "n")]));
        assert_eq!(Layout::known(one.id(), target(), one.slots().to_vec()), Some(one.clone()));
        assert_eq!(Layout::known(one.id(), Labels::empty(), one.slots().to_vec()), None);
    }

    /// Ids are in files and on other machines.
    #[test]
    fn an_id_is_of_the_texts_in_order() {
        let metadata = Metadata { help: "h".into(), ..Metadata::default() };
        let slots =
            ["a", "b"].map(|name| Slot::new(Labels::from_pairs([("__name__", name)]), metadata.clone()));
        let layout = Layout::new(Labels::from_pairs([("job", "n")]), slots.to_vec()).expect("valid");
        let metric_type = metadata.metric_type.as_str();
        let of_slots =
            ["1", "__name__", "a", "1", "__name__", "b", metric_type, "", "h", metric_type, "", "h"];
        let bytes = |texts: &[&str]| {
            let text = |text: &&str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
            texts.iter().flat_map(text).collect::<Vec<u8>>()
        };
        let all = [bytes(&["1", "job", "n"]), bytes(&of_slots)].concat();
        assert_eq!(layout.id(), LayoutId(xxhash_rust::xxh3::xxh3_128(&all)));
        assert_eq!(layout.shape(), ShapeId(xxhash_rust::xxh3::xxh3_128(&bytes(&of_slots))));
    }

    /// However many texts are hashed at once.
    #[test]
    fn a_large_layout_is_named_as_any() {
        let slots: Vec<Slot> = (0..3_000).map(|at| slot(&[("__name__", &format!("metric_{at}"))])).collect();
        let layout = Layout::new(Labels::empty(), slots).expect("valid");
        let (mut all, mut rest) = (Vec::new(), Vec::new());
        put_labels(&mut all, layout.target());
        layout.slots().iter().for_each(|slot| put_labels(&mut rest, &slot.labels));
        let texts = [Metadata::default().metric_type.as_str(), "", ""].repeat(3_000);
        texts.iter().for_each(|text| put_text(&mut rest, text));
        assert_eq!(layout.shape(), ShapeId(xxhash_rust::xxh3::xxh3_128(&rest)));
        all.append(&mut rest);
        assert_eq!(layout.id(), LayoutId(xxhash_rust::xxh3::xxh3_128(&all)));
    }

    #[test]
    fn starts_are_no_series_and_stand_for_themselves() {
        let labels = |name| Labels::from_pairs([("__name__", name)]);
        let start = |name| Slot::of_starts(labels(name));
        let both = Layout::new(Labels::empty(), vec![slot(&[("__name__", "a")]), start("a")]).expect("valid");
        assert_eq!((both.series_count(), both.has_starts(), both.has_histograms()), (1, true, false));
        let alone = Layout::new(Labels::empty(), vec![start("a"), start("b")]).expect("valid");
        assert_eq!(alone.series_count(), 0);
        let plain = Layout::new(Labels::empty(), ["a", "b"].map(|name| slot(&[("__name__", name)])).into());
        assert_ne!(alone.id(), plain.expect("valid").id());
        assert!(Layout::new(Labels::empty(), vec![start("a"), start("a")]).is_err());
        let further = Slot { part: Some(Arc::new(Part::Hint)), ..start("a") };
        assert!(Layout::new(Labels::empty(), vec![start("a"), further]).is_err());
    }

    #[test]
    fn a_series_has_one_slot_and_one_value_for_a_name() {
        let target = Labels::from_pairs([("job", "n")]);
        assert!(Layout::new(target.clone(), vec![slot(&[("job", "x")])]).is_err());
        assert!(Layout::new(target, vec![slot(&[("a", "1")]), slot(&[("a", "1")])]).is_err());
    }
}
