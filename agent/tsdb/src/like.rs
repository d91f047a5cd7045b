//! LIKE records: a layout by what it has in common with another of its segment. A target whose devices come and go has
//! a new layout each time, of which nearly all was there before; and targets of one job have most of theirs in common.

use std::collections::HashMap;
use std::sync::Arc;

use model::{JOB, Labels};
use storage::{Layout, LayoutId, Slot};

use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};
use crate::layouts::{Spread, place_of};
use crate::record::{self, labels, put_labels};
use crate::record_layout::{put_layout, put_slot};

/// Layouts of fewer slots are written as they are.
const SLOTS_MIN: usize = 16;
/// Layouts that one damaged record may cost: so many of other targets, and so many of one target, each like the one
/// before.
const USES_MAX: u32 = 64;
const DEPTH_MAX: u32 = 8;

/// What the segment that is written has layouts for others to be like.
#[derive(Debug, Default)]
pub(crate) struct Bases {
    /// The last one of each target, and how many are like one another up to it.
    of_target: HashMap<Labels, (Arc<Layout>, u32)>,
    /// One that is written as it is, of each job, and how many are like it.
    of_job: HashMap<String, (Arc<Layout>, u32)>,
}

impl Bases {
    /// Another segment is begun.
    pub(crate) fn clear(&mut self) {
        self.of_target.clear();
        self.of_job.clear();
    }

    /// A layout's record.
    pub(crate) fn record(&self, layout: &Layout) -> Told {
        let target = layout.target();
        if layout.slots().len() < SLOTS_MIN {
            return Told::whole(layout);
        }
        let own = self.of_target.get(target).filter(|(_, depth)| *depth < DEPTH_MAX);
        let like = own.and_then(|(base, depth)| Told::like(layout, base, depth + 1));
        let like = like.or_else(|| {
            let of_job = self.of_job.get(target.value(JOB)).filter(|(_, uses)| *uses < USES_MAX);
            of_job.and_then(|(base, _)| Told::like(layout, base, 1))
        });
        like.unwrap_or_else(|| Told::whole(layout))
    }

    /// The record is in the segment: others may be like it.
    pub(crate) fn wrote(&mut self, layout: &Arc<Layout>, told: &Told) {
        if layout.slots().len() < SLOTS_MIN {
            return;
        }
        let job = layout.target().value(JOB);
        match told.depth {
            0 => drop(self.of_job.insert(job.to_owned(), (Arc::clone(layout), 0))),
            1 => {
                if let Some((_, uses)) = self.of_job.get_mut(job) {
                    *uses += 1;
                }
            }
            _ => {}
        }
        self.of_target.insert(layout.target().clone(), (Arc::clone(layout), told.depth));
    }
}

/// How a segment tells of a layout.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
    /// How many layouts are like one another up to this one.
    depth: u32,
}

impl Told {
    fn whole(layout: &Layout) -> Self {
        Self { kind: record::LAYOUT, payload: put_layout(layout), depth: 0 }
    }

    fn like(layout: &Layout, base: &Layout, depth: u32) -> Option<Self> {
        Some(Self { kind: record::LIKE, payload: put_like(layout, base)?, depth })
    }
}

/// Slots that are written, then slots of the base.
#[derive(Debug, Default)]
struct Piece {
    own: Vec<u32>,
    from: usize,
    count: usize,
}

/// A layout by what differs from another; none where that is most of it.
fn put_like(layout: &Layout, base: &Layout) -> Option<Vec<u8>> {
    let pieces = pieces(layout.slots(), base.slots());
    if pieces.iter().map(|piece| piece.own.len()).sum::<usize>() > layout.slots().len() / 2 {
        return None;
    }
    let mut out = layout.id().0.to_le_bytes().to_vec();
    out.extend_from_slice(&base.id().0.to_le_bytes());
    put_labels(&mut out, layout.target());
    let mut at = 0;
    for Piece { own, from, count } in pieces {
        put_varint(&mut out, own.len() as u64);
        own.iter().for_each(|slot| put_slot(&mut out, &layout.slots()[*slot as usize]));
        put_varint(&mut out, count as u64);
        put_zigzag(&mut out, from as i64 - at);
        at = (from + count) as i64;
    }
    Some(out)
}

fn pieces(slots: &[Slot], base: &[Slot]) -> Vec<Piece> {
    // Of a histogram, its first column.
    let mut places: HashMap<usize, usize, Spread> = HashMap::default();
    for (at, slot) in base.iter().enumerate().rev() {
        places.insert(place_of(&slot.labels), at);
    }
    let is_same = |slot: &Slot, at: usize| base.get(at).is_some_and(|other| same(slot, other));
    let (mut pieces, mut piece) = (Vec::new(), Piece::default());
    for (at, slot) in (0..).zip(slots) {
        if piece.count > 0 && is_same(slot, piece.from + piece.count) {
            piece.count += 1;
            continue;
        }
        let place = places.get(&place_of(&slot.labels)).copied().filter(|place| is_same(slot, *place));
        if piece.count > 0 {
            pieces.push(std::mem::take(&mut piece));
        }
        match place {
            Some(place) => (piece.from, piece.count) = (place, 1),
            None => piece.own.push(at),
        }
    }
    pieces.push(piece);
    pieces
}

/// Whether two slots say the same; those of one store's layouts have equal labels at one place.
fn same(one: &Slot, two: &Slot) -> bool {
    place_of(&one.labels) == place_of(&two.labels)
        && (Arc::ptr_eq(&one.metadata, &two.metadata) || one.metadata == two.metadata)
        && one.part == two.part
}

/// A record up to its slots: the layout's id, and that of the one that it is like.
pub(crate) fn ids(reader: &mut Reader<'_>) -> Result<(LayoutId, LayoutId), Malformed> {
    Ok((LayoutId(reader.u128_le()?), LayoutId(reader.u128_le()?)))
}

/// The rest of a record: the target, and the slots, of which `own` reads those that `base` has not.
pub(crate) fn read<'a>(
    reader: &mut Reader<'a>,
    base: &[Slot],
    mut own: impl FnMut(&mut Reader<'a>, Option<&Slot>) -> Result<Slot, Malformed>,
) -> Result<(Labels, Vec<Slot>), Malformed> {
    let target = labels(reader)?;
    let (mut slots, mut at) = (Vec::with_capacity(base.len()), 0_i64);
    while !reader.is_empty() {
        for _ in 0..reader.count()? {
            let slot = own(reader, slots.last())?;
            slots.push(slot);
        }
        let outside = Malformed("slots that the other layout does not have");
        let count = usize::try_from(reader.varint()?).map_err(|_| outside)?;
        let from = at.checked_add(reader.zigzag()?).and_then(|from| usize::try_from(from).ok());
        let from = from.ok_or(outside)?;
        let end = from.checked_add(count).ok_or(outside)?;
        slots.extend_from_slice(base.get(from..end).ok_or(outside)?);
        if slots.len() > Layout::SLOTS_MAX {
            return Err(Malformed("more slots than a layout has"));
        }
        at = end as i64;
    }
    Ok((target, slots))
}

#[cfg(test)]
mod tests {
    use model::Metadata;
    use proptest::prelude::*;
    use storage::{HistogramShape, Part};

    use super::*;
    use crate::layouts::Layouts;
    use crate::replayed::{Prepared, RecordReader};

    fn slot(number: usize) -> Vec<Slot> {
        let metadata = Metadata { help: format!("help {}", number % 3).into(), ..Metadata::default() };
        let labels = Labels::from_pairs([("__name__", "a".to_owned()), ("n", format!("{number}"))]);
        let slot = Slot::new(labels, metadata);
        if number % 5 != 4 {
            return vec![slot];
        }
        let shape = HistogramShape::from_numbers(true, number as i32 % 3, Vec::new()).expect("valid");
        let parts = [Part::Sum(Arc::new(shape)), Part::Hint, Part::ZeroThreshold];
        parts.map(|part| Slot { part: Some(Arc::new(part)), ..slot.clone() }).into()
    }

    fn write(bases: &mut Bases, layout: &Arc<Layout>) -> (u8, Vec<u8>) {
        let told = bases.record(layout);
        // What could not be written is like nothing, and nothing like it.
        assert_eq!(bases.record(layout).payload, told.payload);
        bases.wrote(layout, &told);
        (told.kind, told.payload)
    }

    fn read_back(records: Vec<(u8, Vec<u8>)>) -> Layouts {
        let mut reader = RecordReader::default();
        for (kind, payload) in records {
            let at = log::Location { segment: 1, offset: 20 };
            let read = reader.read(log::Record { at, kind, payload });
            assert!(!matches!(read, Prepared::Bad));
        }
        let (layouts, bad) = reader.finish();
        assert_eq!(bad, 0);
        layouts
    }

    proptest! {
        /// Whatever layouts have in common, and in whatever order their records come.
        #[test]
        fn layouts_come_back(
            all in prop::collection::vec((0..3usize, prop::collection::btree_set(0..60usize, 0..60)), 1..12),
            turned: bool, swaps in prop::collection::vec((0..12usize, 0..12usize), 0..4),
        ) {
            let (mut known, mut bases) = (Layouts::default(), Bases::default());
            let (mut records, mut expected) = (Vec::new(), Vec::new());
            for (target, numbers) in all {
                let mut slots: Vec<Vec<Slot>> = numbers.into_iter().map(slot).collect();
                if turned {
                    slots.reverse();
                }
                let labels = Labels::from_pairs([("job", "n".to_owned()), ("instance", target.to_string())]);
                let layout = known.add(Layout::new(labels, slots.concat()).expect("valid"));
                records.push(write(&mut bases, &layout));
                expected.push(layout);
            }
            let count = records.len();
            swaps.into_iter().for_each(|(a, b)| records.swap(a % count, b % count));
            let read = read_back(records);
            for layout in expected {
                prop_assert_eq!(read.get(layout.id()), Some(&layout));
            }
        }

        #[test]
        fn random_records_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let base: Vec<Slot> = (0..20).flat_map(slot).collect();
            let _ = read(&mut Reader::new(&payload), &base, |reader, before| crate::record_layout::slot(reader, before));
        }
    }

    #[test]
    fn a_layout_that_lost_a_device_is_a_few_bytes() {
        let (mut known, mut bases) = (Layouts::default(), Bases::default());
        let layout = |target: &str, numbers: &[usize]| {
            let slots = numbers.iter().flat_map(|number| slot(*number)).collect();
            Layout::new(Labels::from_pairs([("job", "n"), ("instance", target)]), slots).expect("valid")
        };
        let all: Vec<usize> = (0..40).collect();
        let whole = known.add(layout("1", &all));
        let (kind, full) = write(&mut bases, &whole);
        assert_eq!(kind, record::LAYOUT);
        let others =
            [layout("1", &[&all[..7], &all[8..]].concat()), layout("2", &[&all[..], &[50]].concat())];
        let mut records = vec![(kind, full)];
        for other in &others {
            let (kind, payload) = write(&mut bases, &known.add(other.clone()));
            assert!(kind == record::LIKE && payload.len() < 100, "{} bytes", payload.len());
            records.push((kind, payload));
        }
        let read = read_back(records.clone());
        assert!(others.iter().all(|other| read.get(other.id()).is_some_and(|layout| **layout == *other)));
        // Damage gives no other layout.
        let (_, payload) = &records[2];
        for at in 0..payload.len() {
            let mut bytes = payload.clone();
            bytes[at] ^= 0x21;
            let mut reader = RecordReader::default();
            for (kind, payload) in [&records[0], &(record::LIKE, bytes)] {
                let at = log::Location { segment: 1, offset: 20 };
                drop(reader.read(log::Record { at, kind: *kind, payload: payload.clone() }));
            }
            let (layouts, _) = reader.finish();
            assert!(!layouts.has(others[1].id()), "byte {at}");
        }
        // One that is unlike all others, and one that many are like.
        let odd = known.add(layout("3", &(100..140).collect::<Vec<_>>()));
        assert_eq!(write(&mut bases, &odd).0, record::LAYOUT);
        bases.clear();
        let mut write = |at: usize| write(&mut bases, &known.add(layout(&format!("t{at}"), &all))).0;
        let kinds: Vec<u8> = (0..66).map(&mut write).collect();
        let whole: Vec<usize> = (0..66).filter(|at| kinds[*at] == record::LAYOUT).collect();
        assert_eq!(whole, [0, 65]);
    }
}
