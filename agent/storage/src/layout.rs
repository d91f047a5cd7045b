//! Layouts: what the columns of a row mean.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use model::{Labels, Metadata};

use crate::error::AppendError;

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
    /// What the page said of the family.
    pub metadata: Metadata,
}

/// A target's labels and the ordered metric parts of its page. Immutable; named by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    id: LayoutId,
    shape: ShapeId,
    target: Labels,
    slots: Arc<[Slot]>,
}

impl Layout {
    /// Columns that one layout may have; a page with more is spread over several.
    pub const SLOTS_MAX: usize = 1 << 20;

    /// A layout. Lines that override a target's label belong to another layout, whose target lacks it.
    ///
    /// # Errors
    /// When a slot repeats a label name of the target, two slots are the same series, or there are
    /// more than [`Layout::SLOTS_MAX`].
    pub fn new(target: Labels, slots: Vec<Slot>) -> Result<Self, AppendError> {
        if slots.len() > Self::SLOTS_MAX {
            return Err(AppendError::Layout(format!("{} slots, at most {}", slots.len(), Self::SLOTS_MAX)));
        }
        let mut seen = HashSet::with_capacity(slots.len());
        for slot in &slots {
            if let Some(label) = slot.labels.iter().find(|label| target.has(&label.name)) {
                return Err(AppendError::Layout(format!(
                    "slot {} repeats the target's label {}",
                    slot.labels, label.name
                )));
            }
            if !seen.insert(&slot.labels) {
                return Err(AppendError::Layout(format!("two slots are {}", slot.labels)));
            }
        }
        drop(seen);
        let (id, shape) = Self::hash(&target, &slots);
        Ok(Self { id, shape, target, slots: slots.into() })
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
    /// slots alone.
    fn hash(target: &Labels, slots: &[Slot]) -> (LayoutId, ShapeId) {
        let mut of_all = xxhash_rust::xxh3::Xxh3::new();
        put_labels(&mut of_all, target);
        let mut of_slots = xxhash_rust::xxh3::Xxh3::new();
        for slot in slots {
            put_labels(&mut of_all, &slot.labels);
            put_labels(&mut of_slots, &slot.labels);
        }
        for slot in slots {
            for text in [slot.metadata.metric_type.as_str(), &slot.metadata.unit, &slot.metadata.help] {
                put_text(&mut of_all, text);
                put_text(&mut of_slots, text);
            }
        }
        (LayoutId(of_all.digest128()), ShapeId(of_slots.digest128()))
    }
}

fn put_text(hasher: &mut xxhash_rust::xxh3::Xxh3, text: &str) {
    hasher.update(&(text.len() as u64).to_le_bytes());
    hasher.update(text.as_bytes());
}

fn put_labels(hasher: &mut xxhash_rust::xxh3::Xxh3, labels: &Labels) {
    put_text(hasher, &labels.len().to_string());
    for (name, value) in labels.pairs() {
        put_text(hasher, name);
        put_text(hasher, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(pairs: &[(&str, &str)]) -> Slot {
        Slot { labels: Labels::from_pairs(pairs.iter().copied()), metadata: Metadata::default() }
    }

    #[test]
    fn a_layout_is_named_by_its_content() {
        let target = || Labels::from_pairs([("job", "n")]);
        let one = Layout::new(target(), vec![slot(&[("__name__", "a")])]).expect("valid");
        assert_eq!(one.id(), Layout::new(target(), vec![slot(&[("__name__", "a")])]).expect("valid").id());
        assert_ne!(one.id(), Layout::new(target(), vec![slot(&[("__name__", "b")])]).expect("valid").id());
        assert_eq!(one.series(0), Labels::from_pairs([("__name__", "a"), ("job", "n")]));
    }

    #[test]
    fn a_series_has_one_slot_and_one_value_for_a_name() {
        let target = Labels::from_pairs([("job", "n")]);
        assert!(Layout::new(target.clone(), vec![slot(&[("job", "x")])]).is_err());
        assert!(Layout::new(target, vec![slot(&[("a", "1")]), slot(&[("a", "1")])]).is_err());
    }
}
