//! Layouts that a store knows, and their shapes: slots that equal exporters have in common are in memory
//! once, whatever the number of targets.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use model::{Label, Labels, Metadata};
use storage::{Layout, LayoutId, ShapeId, Slot};

use crate::memory::{allocated, list, shared};
pub(crate) use crate::shape::Shape;

/// All layouts by id.
#[derive(Debug, Default)]
pub(crate) struct Layouts {
    all: HashMap<LayoutId, Arc<Layout>>,
    shapes: HashMap<ShapeId, Arc<Shape>>,
    /// What slots of several shapes have in common: most have nearly all of it.
    lists: HashSet<Labels>,
    families: HashSet<Arc<Metadata>>,
    texts: HashSet<Arc<str>>,
    /// What lists and texts take up.
    list_bytes: u64,
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
        let shapes: u64 = self.shapes.values().map(|shape| shape.bytes() + shared(size_of::<Shape>())).sum();
        let target = |labels: &Labels| {
            let texts = labels.iter().map(|label| shared(label.name.len()) + shared(label.value.len()));
            list(labels) + texts.sum::<u64>()
        };
        let layout = |layout: &Arc<Layout>| target(layout.target()) + shared(size_of::<Layout>());
        let tables = self.all.capacity() * (size_of::<(LayoutId, Arc<Layout>)>() + 1)
            + self.shapes.capacity() * (size_of::<(ShapeId, Arc<Shape>)>() + 1)
            + self.lists.capacity() * (size_of::<Labels>() + 1)
            + self.families.capacity() * (size_of::<Arc<Metadata>>() + 1)
            + self.texts.capacity() * (size_of::<Arc<str>>() + 1);
        let families = self.families.len() as u64 * shared(size_of::<Metadata>());
        let common = self.list_bytes + families + self.text_bytes;
        self.all.values().map(layout).sum::<u64>() + shapes + common + allocated(tables)
    }

    /// The shape of a layout that is known.
    pub(crate) fn shape(&self, layout: &Layout) -> Option<&Arc<Shape>> {
        // A peer may have made two lists of slots of one hash: only its own will do.
        let same = |shape: &&Arc<Shape>| {
            Arc::ptr_eq(shape.slots(), layout.shared_slots()) || **shape.slots() == **layout.shared_slots()
        };
        self.shapes.get(&layout.shape()).filter(same)
    }

    /// The slots of a shape that is known.
    pub(crate) fn slots_of(&self, id: ShapeId) -> Option<&[Slot]> {
        self.shapes.get(&id).map(|shape| &**shape.slots())
    }

    /// All shapes, each once.
    pub(crate) fn shapes(&self) -> Vec<Arc<Shape>> {
        self.shapes.values().cloned().collect()
    }

    /// Makes a layout known; what it has in common with others is kept once.
    pub(crate) fn add(&mut self, layout: Layout) -> Arc<Layout> {
        if let Some(known) = self.all.get(&layout.id()) {
            return Arc::clone(known);
        }
        let layout = match self.shapes.get(&layout.shape()) {
            Some(shape) => layout.sharing(shape.slots()),
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

    /// The same for one whose slots are [`Layouts::interned`]; gives its shape, too.
    pub(crate) fn add_interned(&mut self, layout: Layout) -> (Arc<Layout>, Arc<Shape>) {
        let own = || Arc::new(Shape::new(Arc::clone(layout.shared_slots())));
        let shape = Arc::clone(self.shapes.entry(layout.shape()).or_insert_with(own));
        let layout = Arc::new(layout.sharing(shape.slots()));
        self.all.insert(layout.id(), Arc::clone(&layout));
        (layout, shape)
    }

    /// Takes over a layout that others have made known; what it has in common with others is not looked for.
    pub(crate) fn put(&mut self, layout: Arc<Layout>, shape: Arc<Shape>) {
        self.shapes.insert(layout.shape(), shape);
        self.all.insert(layout.id(), layout);
    }

    /// Forgets one layout.
    pub(crate) fn remove(&mut self, id: LayoutId) {
        self.all.remove(&id);
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
        self.lists.retain(|labels| !labels.is_unshared());
        self.list_bytes = self.lists.iter().map(list).sum();
        self.families.retain(|metadata| Arc::strong_count(metadata) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.text_bytes = self.texts.iter().map(|text| shared(text.len())).sum();
    }

    /// Bytes that the index over slots takes up.
    pub(crate) fn index_bytes(&self) -> usize {
        self.shapes.values().map(|shape| shape.index_bytes()).sum()
    }

    /// A slot whose labels and metadata are kept once.
    pub(crate) fn interned(&mut self, slot: &Slot) -> Slot {
        Slot {
            labels: self.list(&slot.labels),
            metadata: self.family(&slot.metadata),
            part: slot.part.clone(),
        }
    }

    fn list(&mut self, labels: &Labels) -> Labels {
        if let Some(known) = self.lists.get(labels) {
            return known.clone();
        }
        let label = |label: &Label| Label { name: self.text(&label.name), value: self.text(&label.value) };
        let own: Labels = labels.iter().map(label).collect();
        self.list_bytes += list(&own);
        self.lists.insert(own.clone());
        own
    }

    fn family(&mut self, metadata: &Arc<Metadata>) -> Arc<Metadata> {
        if let Some(known) = self.families.get(metadata) {
            return Arc::clone(known);
        }
        let Metadata { metric_type, unit, help } = &**metadata;
        let own = Metadata { metric_type: *metric_type, unit: self.text(unit), help: self.text(help) };
        let own = Arc::new(own);
        self.families.insert(Arc::clone(&own));
        own
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

/// Where a list of labels is: equal lists of slots of a store's layouts are at one place.
pub(crate) fn place_of(labels: &Labels) -> usize {
    labels.iter().next().map_or(0, |first| std::ptr::from_ref(first) as usize)
}

/// For keys that are hashes, or places.
pub(crate) type Spread = BuildHasherDefault<Mixed>;

/// Its keys' numbers, mixed a little.
#[derive(Default)]
pub(crate) struct Mixed(u64);

impl Mixed {
    fn mix(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        // Tables look at the highest bits and at the lowest.
        self.0 ^ self.0 >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            self.mix(part.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.mix(value as u64);
    }
}

#[cfg(test)]
mod tests {
    use model::METRIC_NAME;

    use super::*;

    fn layout(instance: &str, series: &[(&str, &str)]) -> Layout {
        let slot = |&(name, device): &(&str, &str)| Slot {
            labels: Labels::from_pairs([(METRIC_NAME, name), ("device", device)]),
            metadata: Arc::default(),
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
        // What another shape has too is one.
        let other = layouts.add(layout("3", &[("b", "x"), ("c", "")]));
        let first = |layout: &Layout, at: usize| {
            std::ptr::from_ref(layout.slots()[at].labels.iter().next().expect("a label"))
        };
        assert_eq!(first(&two, 1), first(&other, 0));
        assert!(Arc::ptr_eq(&two.slots()[1].metadata, &other.slots()[0].metadata));
        drop((one, two));
        layouts.retain(&HashSet::from([other.id()]));
        assert_eq!((layouts.shapes.len(), layouts.lists.len(), layouts.families.len()), (1, 2, 1));
        drop(other);
        layouts.retain(&HashSet::new());
        assert!(layouts.shapes.is_empty() && layouts.lists.is_empty() && layouts.families.is_empty());
        // The standard library has one empty text for all.
        assert!(layouts.list_bytes == 0 && layouts.texts.iter().all(|text| text.is_empty()));
    }
}
