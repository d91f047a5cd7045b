//! What the log's records say by themselves: made of them by the thread that reads ahead, for the one that replays.
//!
//! Layouts are most of it. Pages have most of their slots in common, so each slot is read once, however many layouts
//! and segments have it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use log::{Location, Record};
use model::Labels;
use storage::{Frame, Layout, LayoutId, Slot};
use xxhash_rust::xxh3::xxh3_128;

use crate::bytes::{Malformed, Reader};
use crate::layouts::{Layouts, Shape, Spread, place_of};
use crate::like;
use crate::record;
use crate::record_layout;
use crate::window::window_of;

/// A record, as far as it can be read by itself.
pub(crate) enum Prepared {
    /// A layout that no record before had.
    Layout(Arc<Layout>, Arc<Shape>),
    Frame(Location, Frame),
    Other(Record),
    /// Nothing new.
    Nothing,
    Bad,
}

/// Reads records one after the other.
#[derive(Default)]
pub(crate) struct RecordReader {
    layouts: Layouts,
    slots: Slots,
    /// Those that are like one that no record before them told of.
    waiting: Vec<Vec<u8>>,
}

/// A layout and its shape.
type Known = (Arc<Layout>, Arc<Shape>);

impl RecordReader {
    pub(crate) fn read(&mut self, record: Record) -> Prepared {
        self.try_read(record).unwrap_or(Prepared::Bad)
    }

    pub(crate) fn try_read(&mut self, found: Record) -> Result<Prepared, Malformed> {
        let told = |known: Option<Known>| match known {
            Some((layout, shape)) => Prepared::Layout(layout, shape),
            None => Prepared::Nothing,
        };
        Ok(match found.kind {
            record::LAYOUT => told(self.layout(&found.payload)?),
            record::LIKE => told(self.like(found.payload)?),
            record::FRAME => {
                let frame = record::frame(found.payload)?;
                let range = frame.range();
                if window_of(range.start) != window_of(range.end) {
                    return Err(Malformed("a frame that straddles two windows"));
                }
                Prepared::Frame(found.at, frame)
            }
            _ => Prepared::Other(found),
        })
    }

    fn layout(&mut self, payload: &[u8]) -> Result<Option<Known>, Malformed> {
        let mut reader = Reader::new(payload);
        let id = LayoutId(reader.u128_le()?);
        if self.layouts.has(id) {
            return Ok(None);
        }
        let target = record::labels(&mut reader)?;
        let count = reader.count()?;
        if count > Layout::SLOTS_MAX {
            return Err(Malformed("more slots than a layout has"));
        }
        let mut slots = Vec::with_capacity(count);
        for _ in 0..count {
            let slot = self.slots.read(&mut reader, slots.last(), &mut self.layouts)?;
            slots.push(slot);
        }
        if !reader.is_empty() {
            return Err(Malformed("bytes after the end of the record"));
        }
        self.make(id, target, slots)
    }

    fn like(&mut self, payload: Vec<u8>) -> Result<Option<Known>, Malformed> {
        let mut reader = Reader::new(&payload);
        let (id, base) = like::ids(&mut reader)?;
        if self.layouts.has(id) {
            return Ok(None);
        }
        let Some(base) = self.layouts.get(base).map(Arc::clone) else {
            self.waiting.push(payload);
            return Ok(None);
        };
        let (target, slots) = like::read(&mut reader, base.slots(), |reader, before| {
            self.slots.read(reader, before, &mut self.layouts)
        })?;
        self.make(id, target, slots)
    }

    /// Makes a layout known that no record before had.
    fn make(&mut self, id: LayoutId, target: Labels, slots: Vec<Slot>) -> Result<Option<Known>, Malformed> {
        let other = Malformed("a layout under another's id");
        if slots.iter().any(Slot::is_of_histogram) {
            let layout = Layout::new(target, slots).map_err(|_| Malformed("an invalid layout"))?;
            return if layout.id() == id { Ok(Some(self.layouts.add_interned(layout))) } else { Err(other) };
        }
        if !self.slots.are_distinct(&slots) {
            return Err(Malformed("two slots are one series"));
        }
        let layout = Layout::known(id, target, slots).ok_or(other)?;
        let (layout, shape) = self.layouts.add_interned(layout);
        if layout.target().iter().any(|label| shape.names().contains(&label.name)) {
            self.layouts.remove(id);
            return Err(Malformed("a slot repeats a label of the target"));
        }
        Ok(Some((layout, shape)))
    }

    /// Whether a layout is known.
    pub(crate) fn has(&self, id: LayoutId) -> bool {
        self.layouts.has(id)
    }

    /// All layouts that there were, those among them that are like one that came later; and how many records are of no
    /// use, as there is no such one.
    pub(crate) fn finish(mut self) -> (Layouts, u64) {
        let bad = self.read_waiting();
        (self.layouts, bad)
    }

    /// Reads those that waited for others; gives how many are of no use.
    pub(crate) fn read_waiting(&mut self) -> u64 {
        let mut bad = 0;
        loop {
            let waiting = std::mem::take(&mut self.waiting);
            let before = waiting.len();
            for payload in waiting {
                bad += u64::from(self.like(payload).is_err());
            }
            // Each round brings one at least.
            if self.waiting.len() == before {
                return bad + before as u64;
            }
        }
    }
}

/// Slots by the hash of their bytes.
#[derive(Default)]
struct Slots {
    known: HashMap<u128, Slot, Spread>,
    /// By where a list of labels is, for columns of numbers and of starts: the layout that had it last.
    last: HashMap<usize, [u32; 2], Spread>,
    /// Counts layouts.
    round: u32,
}

impl Slots {
    /// The next slot. One that is part of a histogram says nothing without the one before it.
    fn read(
        &mut self,
        reader: &mut Reader<'_>,
        before: Option<&Slot>,
        layouts: &mut Layouts,
    ) -> Result<Slot, Malformed> {
        let whole = *reader;
        if !record_layout::skip_slot(reader)? {
            *reader = whole;
            let slot = record_layout::slot(reader, before)?;
            return Ok(layouts.interned(&slot));
        }
        let bytes = &whole.rest()[..whole.rest().len() - reader.rest().len()];
        match self.known.entry(xxh3_128(bytes)) {
            Entry::Occupied(known) => Ok(known.get().clone()),
            Entry::Vacant(entry) => {
                let slot = record_layout::slot(&mut Reader::new(bytes), None)?;
                Ok(entry.insert(layouts.interned(&slot)).clone())
            }
        }
    }

    /// Whether no two of some slots, which hold no parts of histograms, are of one series.
    fn are_distinct(&mut self, slots: &[Slot]) -> bool {
        self.round += 1;
        slots.iter().all(|slot| {
            let last = self.last.entry(place_of(&slot.labels)).or_default();
            std::mem::replace(&mut last[usize::from(slot.is_start())], self.round) != self.round
        })
    }
}

#[cfg(test)]
mod tests {
    use model::Metadata;

    use super::*;

    fn record(layout: &Layout) -> Record {
        let at = Location { segment: 1, offset: 20 };
        Record { at, kind: record::LAYOUT, payload: record_layout::put_layout(layout) }
    }

    fn slot(name: &str, device: &str) -> Slot {
        let metadata = Metadata { help: format!("help of {name}").into(), ..Metadata::default() };
        Slot::new(Labels::from_pairs([("__name__", name), ("device", device)]), metadata)
    }

    fn layout(target: &str, slots: &[(&str, &str)]) -> Layout {
        let slots = slots.iter().map(|(name, device)| slot(name, device)).collect();
        Layout::new(Labels::from_pairs([("instance", target)]), slots).expect("valid")
    }

    #[test]
    fn layouts_are_those_that_were_written() {
        let mut reader = RecordReader::default();
        let starts = Layout::new(
            Labels::empty(),
            vec![
                slot("a", "x"),
                Slot::of_starts(slot("a", "x").labels),
                Slot::new(Labels::empty(), Metadata::default()),
            ],
        );
        let all = [
            layout("1", &[("a", "x"), ("b", "x")]),
            layout("2", &[("a", "x"), ("b", "x")]),
            layout("1", &[("a", "x"), ("b", "y"), ("c", "")]),
            layout("1", &[]),
            starts.expect("valid"),
        ];
        let mut first = None;
        for expected in &all {
            let Prepared::Layout(layout, shape) = reader.read(record(expected)) else { panic!("new") };
            assert_eq!(*layout, *expected);
            assert!(Arc::ptr_eq(shape.slots(), layout.shared_slots()));
            assert!(matches!(reader.read(record(expected)), Prepared::Nothing));
            first.get_or_insert(layout);
        }
        let (layouts, bad) = reader.finish();
        assert_eq!(bad, 0);
        let [one, two, three] = [0, 1, 2].map(|at: usize| layouts.get(all[at].id()).expect("known"));
        // What they have in common is there once.
        assert!(Arc::ptr_eq(one.shared_slots(), two.shared_slots()));
        let place = |layout: &Layout| layout.slots()[0].labels.iter().next().map(std::ptr::from_ref);
        assert_eq!(place(one), place(three));
    }

    /// The id of what is no valid layout.
    fn id(target: &Labels, slots: &[Slot]) -> LayoutId {
        let mut bytes = Vec::new();
        let mut put = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        for labels in std::iter::once(target).chain(slots.iter().map(|slot| &slot.labels)) {
            put(&labels.len().to_string());
            labels.pairs().for_each(|(name, value)| [name, value].into_iter().for_each(&mut put));
        }
        for Metadata { metric_type, unit, help } in slots.iter().map(|slot| &*slot.metadata) {
            [metric_type.as_str(), unit, help].into_iter().for_each(&mut put);
        }
        LayoutId(xxh3_128(&bytes))
    }

    #[test]
    fn layouts_that_nobody_could_have_written_are_none() {
        let valid = layout("1", &[("a", "x"), ("b", "x")]);
        let written = record_layout::put_layout(&valid);
        let read = |payload: Vec<u8>| {
            let mut reader = RecordReader::default();
            let layout = reader.layout(&payload).map(|layout| layout.map(|(layout, _)| (*layout).clone()));
            assert!(layout.is_err() != reader.layouts.has(valid.id()), "{layout:?}");
            layout
        };
        assert_eq!(read(written.clone()), Ok(Some(valid.clone())));
        for at in 0..written.len() {
            let mut bytes = written.clone();
            bytes[at] ^= 0x11;
            assert!(read(bytes).is_err(), "byte {at}");
            assert!(read(written[..at].to_vec()).is_err(), "{at} bytes");
        }
        assert!(read([&written[..], b"x"].concat()).is_err());
        // With an id that is right.
        let target = Labels::from_pairs([("device", "1")]);
        for (target, slots) in
            [(target, vec![slot("a", "x")]), (Labels::empty(), vec![slot("a", "x"), slot("a", "x")])]
        {
            assert!(Layout::new(target.clone(), slots.clone()).is_err());
            let payload = record_layout::put_parts(id(&target, &slots), &target, &slots);
            assert!(RecordReader::default().layout(&payload).is_err());
        }
    }
}
