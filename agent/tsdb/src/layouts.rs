//! Layouts that a store knows, and their shapes: slots that equal exporters have in common are in memory
//! once, whatever the number of targets.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use model::{Label, Labels, METRIC_NAME, MatchOp, Matcher, Metadata};
use storage::{Layout, LayoutId, ShapeId, Slot};

use crate::memory::{allocated, list, shared};

/// The ordered slots of a page, and where each metric name is among them.
#[derive(Debug)]
pub(crate) struct Shape {
    slots: Arc<[Slot]>,
    by_name: HashMap<Arc<str>, Box<[u32]>>,
    /// What it takes up, without texts.
    bytes: u64,
}

impl Shape {
    fn new(slots: Arc<[Slot]>) -> Self {
        let mut by_name: HashMap<Arc<str>, Vec<u32>> = HashMap::new();
        for (at, slot) in (0..).zip(slots.iter()) {
            let name = slot.labels.iter().find(|label| &*label.name == METRIC_NAME);
            if let Some(label) = name {
                by_name.entry(Arc::clone(&label.value)).or_default().push(at);
            }
        }
        let by_name: HashMap<_, Box<[u32]>> =
            by_name.into_iter().map(|(name, slots)| (name, slots.into())).collect();
        let lists: u64 = slots.iter().map(|slot| list(&slot.labels)).sum();
        let names: u64 = by_name.values().map(|slots| allocated(size_of_val(&**slots))).sum();
        let table = by_name.capacity() * (size_of::<(Arc<str>, Box<[u32]>)>() + 1);
        let bytes = shared(size_of_val(&*slots)) + lists + names + allocated(table);
        Self { slots, by_name, bytes }
    }

    /// The slots of a metric, in order.
    pub(crate) fn named(&self, name: &str) -> &[u32] {
        self.by_name.get(name).map_or(&[], |slots| slots)
    }

    /// The slots that pass conditions, each with the value that a slot without the label counts as having;
    /// in order.
    pub(crate) fn matching(&self, conditions: &[(&Matcher, &str)]) -> Arc<[u32]> {
        let passes = |&at: &u32| {
            let labels = &self.slots[at as usize].labels;
            conditions
                .iter()
                .all(|(matcher, other)| matcher.matches(labels.get(matcher.name()).unwrap_or(other)))
        };
        let named = conditions.iter().find(|(matcher, other)| {
            matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && *other != matcher.value()
        });
        match named {
            Some((matcher, _)) => self.named(matcher.value()).iter().copied().filter(passes).collect(),
            None => (0..self.slots.len() as u32).filter(passes).collect(),
        }
    }
}

/// All layouts by id.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    all: HashMap<LayoutId, Arc<Layout>>,
    shapes: HashMap<ShapeId, Arc<Shape>>,
    texts: HashSet<Arc<str>>,
    /// What these take up.
    text_bytes: u64,
}

impl Layouts {
    pub(crate) fn get(&self, id: LayoutId) -> Option<&Arc<Layout>> {
        self.all.get(&id)
    }

    pub(crate) fn has(&self, id: LayoutId) -> bool {
        self.all.contains_key(&id)
    }

    pub(crate) fn knows_shape(&self, layout: &Layout) -> bool {
        self.shapes.contains_key(&layout.shape())
    }

    /// What all of it takes up.
    pub(crate) fn bytes(&self) -> u64 {
        let shapes: u64 = self.shapes.values().map(|shape| shape.bytes + shared(size_of::<Shape>())).sum();
        let target = |labels: &Labels| {
            let texts = labels.iter().map(|label| shared(label.name.len()) + shared(label.value.len()));
            list(labels) + texts.sum::<u64>()
        };
        let layout = |layout: &Arc<Layout>| target(layout.target()) + shared(size_of::<Layout>());
        let tables = self.all.capacity() * (size_of::<(LayoutId, Arc<Layout>)>() + 1)
            + self.shapes.capacity() * (size_of::<(ShapeId, Arc<Shape>)>() + 1)
            + self.texts.capacity() * (size_of::<Arc<str>>() + 1);
        self.all.values().map(layout).sum::<u64>() + shapes + self.text_bytes + allocated(tables)
    }

    /// The shape of a layout that is known.
    pub(crate) fn shape(&self, layout: &Layout) -> Option<&Arc<Shape>> {
        // A peer may have made two lists of slots of one hash: only its own will do.
        let same = |shape: &&Arc<Shape>| {
            Arc::ptr_eq(&shape.slots, layout.shared_slots()) || *shape.slots == **layout.shared_slots()
        };
        self.shapes.get(&layout.shape()).filter(same)
    }

    /// The slots of a shape that is known.
    pub(crate) fn slots_of(&self, id: ShapeId) -> Option<&[Slot]> {
        self.shapes.get(&id).map(|shape| &*shape.slots)
    }

    /// Makes a layout known; what it has in common with others is kept once.
    pub(crate) fn add(&mut self, layout: Layout) -> Arc<Layout> {
        if let Some(known) = self.all.get(&layout.id()) {
            return Arc::clone(known);
        }
        let layout = match self.shapes.get(&layout.shape()) {
            Some(shape) => layout.sharing(&shape.slots),
            None => {
                let slots: Arc<[Slot]> = layout.slots().iter().map(|slot| self.interned(slot)).collect();
                self.shapes.insert(layout.shape(), Arc::new(Shape::new(Arc::clone(&slots))));
                layout.sharing(&slots)
            }
        };
        let layout = Arc::new(layout);
        self.all.insert(layout.id(), Arc::clone(&layout));
        layout
    }

    /// Forgets all layouts but these, and what only they had.
    pub(crate) fn retain(&mut self, used: &HashSet<LayoutId>) {
        let before = self.all.len();
        self.all.retain(|id, _| used.contains(id));
        if self.all.len() == before {
            return;
        }
        let shapes: HashSet<ShapeId> = self.all.values().map(|layout| layout.shape()).collect();
        self.shapes.retain(|id, _| shapes.contains(id));
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.text_bytes = self.texts.iter().map(|text| shared(text.len())).sum();
    }

    fn interned(&mut self, slot: &Slot) -> Slot {
        let label = |label: &Label| Label { name: self.text(&label.name), value: self.text(&label.value) };
        let labels: Labels = slot.labels.iter().map(label).collect();
        let Metadata { metric_type, unit, help } = &slot.metadata;
        let metadata = Metadata { metric_type: *metric_type, unit: self.text(unit), help: self.text(help) };
        Slot { labels, metadata, part: slot.part.clone() }
    }

    fn text(&mut self, text: &Arc<str>) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        self.texts.insert(Arc::clone(text));
        self.text_bytes += shared(text.len());
        Arc::clone(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(instance: &str, series: &[(&str, &str)]) -> Layout {
        let slot = |&(name, device): &(&str, &str)| Slot {
            labels: Labels::from_pairs([(METRIC_NAME, name), ("device", device)]),
            metadata: Metadata::default(),
            part: None,
        };
        Layout::new(Labels::from_pairs([("instance", instance)]), series.iter().map(slot).collect())
            .expect("valid")
    }

    #[test]
    fn equal_slots_are_kept_once() {
        let mut layouts = Layouts::default();
        let series = [("a", "x"), ("b", "x"), ("b", "")];
        let (one, two) = (layouts.add(layout("1", &series)), layouts.add(layout("2", &series)));
        assert!(Arc::ptr_eq(one.shared_slots(), two.shared_slots()));
        assert_ne!(one.id(), two.id());
        layouts.retain(&HashSet::from([two.id()]));
        assert!(!layouts.has(one.id()) && layouts.shape(&two).is_some());
        layouts.retain(&HashSet::new());
        assert!(layouts.shapes.is_empty());
    }

    #[test]
    fn conditions_see_a_default_where_a_slot_has_no_such_label() {
        let mut layouts = Layouts::default();
        let known = layouts.add(layout("1", &[("a", "x"), ("b", "x"), ("b", "")]));
        let shape = layouts.shape(&known).expect("known");
        let name = Matcher::equal(METRIC_NAME, "b");
        let device = Matcher::equal("device", "d");
        assert_eq!(*shape.matching(&[(&name, "")]), [1, 2]);
        assert_eq!(*shape.matching(&[(&name, ""), (&device, "d")]), [2]);
        assert_eq!(*shape.matching(&[(&device, "")]), [] as [u32; 0]);
        assert_eq!(*shape.matching(&[]), [0, 1, 2]);
    }
}
