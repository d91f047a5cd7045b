//! Who a block belongs to: streams, shapes, layouts and groups by number, readable from RocksDB alone. A number,
//! once given, means the same for good; all are synced before the first block that uses them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};
use storage::{Layout, LayoutId, ShapeId, StreamId, StreamInfo};

use super::db::IDENTITY;
use super::error::SealedError;
use super::keys::INDEX;
use crate::bytes::{Malformed, put_varint};
use crate::group::Group;
use crate::layouts::Layouts;
use crate::memory::{allocated, shared};
use crate::record;
use crate::record_layout;
use crate::streams::Streams;

pub(super) const STREAM: u8 = b's';
pub(super) const SHAPE: u8 = b'h';
pub(super) const LAYOUT: u8 = b'l';
pub(super) const GROUP: u8 = b'g';
/// From a stream and a layout to their group's number.
pub(super) const NUMBER: u8 = b'n';
/// The next number, where some that were given are not there any more.
pub(super) const MARK: u8 = b'm';

/// Slots of the layouts that are kept for the next question, at most.
const SLOTS_KEPT: usize = 1 << 20;

/// Numbers of groups, and those groups that were asked for.
pub(crate) struct Identity {
    pub(super) next: Mutex<u32>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    layouts: Layouts,
    groups: HashMap<u32, Arc<Group>>,
    slots: usize,
}

impl Identity {
    /// Numbers go on after those in the database.
    pub(crate) fn open(db: &DB) -> Result<Self, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let after = [GROUP + 1];
        let mut backwards = db.iterator_cf(&family, IteratorMode::From(&after, Direction::Reverse));
        let last = match backwards.next().transpose()? {
            Some((key, _)) if key.first() == Some(&GROUP) => number(&key[1..])?,
            _ => 0,
        };
        let marked = db.get_cf(&family, [MARK])?.map_or(Ok(0), |marked| number(&marked))?;
        Ok(Self { next: Mutex::new(marked.max(last + 1)), known: Mutex::default() })
    }

    /// Keeps only groups of these numbers for the next question.
    pub(super) fn forget(&self, kept: &BTreeSet<u32>) {
        let mut known = self.known.lock();
        known.groups.retain(|number, _| kept.contains(number));
        known.slots = known.groups.values().map(|group| group.slots()).sum();
        let layouts = known.groups.values().map(|group| group.layout.id()).collect();
        known.layouts.retain(&layouts);
    }

    /// Bytes that the index over slots of groups that were asked for takes up.
    pub(crate) fn index_bytes(&self) -> usize {
        self.known.lock().layouts.index_bytes()
    }

    /// What groups that were asked for take up.
    pub(crate) fn bytes(&self) -> u64 {
        let known = self.known.lock();
        let table = known.groups.capacity() * (size_of::<(u32, Arc<Group>)>() + 1);
        known.layouts.bytes() + known.groups.len() as u64 * shared(size_of::<Group>()) + allocated(table)
    }

    /// All streams that have groups.
    pub(crate) fn streams(&self, db: &DB) -> Result<Vec<StreamInfo>, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let mut streams = Vec::new();
        for entry in db.iterator_cf(&family, IteratorMode::From(&[STREAM], Direction::Forward)) {
            let (key, value) = entry?;
            if key.first() != Some(&STREAM) {
                break;
            }
            match record::stream(&value) {
                Ok(info) => streams.push(info),
                Err(error) => tracing::error!(%error, "a stream of sealed data cannot be read"),
            }
        }
        Ok(streams)
    }

    /// The number of each group, given and synced where it had none.
    /// `write` writes a batch, synced.
    pub(crate) fn numbers(
        &self,
        db: &DB,
        groups: &[Arc<Group>],
        write: impl FnOnce(WriteBatch) -> Result<(), SealedError>,
    ) -> Result<Vec<u32>, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let mut batch = WriteBatch::default();
        let mut next = self.next.lock();
        let mut numbers = Vec::with_capacity(groups.len());
        for group in groups {
            let (info, layout) = (group.info(), &group.layout);
            let owner = owner(&info.id, layout.id());
            let key = self::key(NUMBER, &xxhash_rust::xxh3::xxh3_128(&owner).to_le_bytes());
            if let Some(known) = db.get_pinned_cf(&family, &key)? {
                numbers.push(number(&known)?);
                continue;
            }
            let given = *next;
            *next = next.checked_add(1).filter(|next| *next < INDEX).ok_or(NO_NUMBER)?;
            batch.put_cf(&family, &key, given.to_be_bytes());
            batch.put_cf(&family, self::key(GROUP, &given.to_be_bytes()), &owner);
            let mut id = Vec::new();
            record::put_id(&mut id, &info.id);
            batch.put_cf(&family, self::key(STREAM, &id), record::put_stream(info));
            let mut value = layout.shape().0.to_le_bytes().to_vec();
            record::put_labels(&mut value, layout.target());
            batch.put_cf(&family, self::key(LAYOUT, &layout.id().0.to_le_bytes()), value);
            let shape = self::key(SHAPE, &layout.shape().0.to_le_bytes());
            if db.get_pinned_cf(&family, &shape)?.is_none() {
                let bare = Layout::new(model::Labels::empty(), layout.slots().to_vec());
                let bare = bare.map_err(|_| SealedError::Malformed("a layout that is none"))?;
                batch.put_cf(&family, &shape, record_layout::put_layout(&bare));
            }
            numbers.push(given);
        }
        if !batch.is_empty() {
            write(batch)?;
        }
        Ok(numbers)
    }

    /// The number of a group, if it has one.
    pub(crate) fn find(&self, db: &DB, group: &Group) -> Result<Option<u32>, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let owner = owner(group.stream_id(), group.layout.id());
        let key = key(NUMBER, &xxhash_rust::xxh3::xxh3_128(&owner).to_le_bytes());
        db.get_pinned_cf(&family, &key)?.map(|known| number(&known)).transpose()
    }

    /// The group of a number; `streams` and `layouts` are those that the store knows already.
    pub(crate) fn group(
        &self,
        db: &DB,
        number: u32,
        streams: &Streams,
        layouts: &Layouts,
    ) -> Result<Arc<Group>, SealedError> {
        let mut known = self.known.lock();
        if let Some(group) = known.groups.get(&number) {
            return Ok(Arc::clone(group));
        }
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let value = get(db, &family, GROUP, &number.to_be_bytes(), "a group's number is not known")?;
        let (id, layout) =
            record::whole(&value, |reader| Ok((record::id(reader)?, LayoutId(reader.u128_le()?))))?;
        let stream = streams.find(&id).ok_or(SealedError::Malformed("a group's stream is not known"))?;
        let in_use = layouts.get(layout).and_then(|known| Some((known, layouts.shape(known)?)));
        let (layout, shape) = match in_use {
            Some((layout, shape)) => (Arc::clone(layout), Arc::clone(shape)),
            None => {
                let layout = match known.layouts.get(layout) {
                    Some(layout) => Arc::clone(layout),
                    None => {
                        let read = self.layout(db, &known.layouts, layout)?;
                        known.layouts.add(read)
                    }
                };
                let shape = known.layouts.shape(&layout).map(Arc::clone);
                (layout, shape.ok_or(SealedError::Malformed("two shapes of one name"))?)
            }
        };
        known.slots += layout.slots().len();
        if known.slots > SLOTS_KEPT {
            *known = Known { slots: layout.slots().len(), ..Known::default() };
        }
        let group = Arc::new(Group::new(stream, streams.get(stream), layout, shape));
        known.groups.insert(number, Arc::clone(&group));
        Ok(group)
    }

    /// Whether an entry can be read and stands under its own name; the stream, if it is one.
    pub(super) fn check(&self, db: &DB, key: &[u8], value: &[u8]) -> Result<Option<StreamInfo>, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let (kind, name) = key.split_first().ok_or(SealedError::Malformed("an entry without a name"))?;
        let wide = || name.try_into().map(u128::from_le_bytes);
        let (found, expected) = match *kind {
            STREAM => {
                let info = record::stream(value)?;
                let mut id = Vec::new();
                record::put_id(&mut id, &info.id);
                if id != name {
                    return Err(SealedError::Malformed("a stream under another's name"));
                }
                return Ok(Some(info));
            }
            SHAPE => (record_layout::layout(value)?.shape().0, wide()),
            LAYOUT => {
                let id = LayoutId(
                    wide().map_err(|_| SealedError::Malformed("a layout's name of another length"))?,
                );
                return self.layout(db, &Layouts::default(), id).map(|_| None);
            }
            GROUP => {
                let number = number(name)?;
                let known = get(
                    db,
                    &family,
                    NUMBER,
                    &xxhash_rust::xxh3::xxh3_128(value).to_le_bytes(),
                    "a group has no number",
                )?;
                return if self::number(&known)? == number {
                    Ok(None)
                } else {
                    Err(SealedError::Malformed("a group of two numbers"))
                };
            }
            NUMBER => {
                let owner = get(db, &family, GROUP, value, "a number of no group")?;
                (xxhash_rust::xxh3::xxh3_128(&owner), wide())
            }
            MARK => return number(value).map(|_| None),
            // A later version's.
            _ => return Ok(None),
        };
        if expected.is_ok_and(|expected| expected == found) {
            Ok(None)
        } else {
            Err(SealedError::Malformed("an entry under another's name"))
        }
    }

    /// A layout out of the database, its name verified.
    fn layout(&self, db: &DB, known: &Layouts, id: LayoutId) -> Result<Layout, SealedError> {
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let value = get(db, &family, LAYOUT, &id.0.to_le_bytes(), "a group's layout is not there")?;
        let (shape, target) =
            record::whole(&value, |reader| Ok((ShapeId(reader.u128_le()?), record::labels(reader)?)))?;
        let slots = match known.slots_of(shape) {
            Some(slots) => slots.to_vec(),
            None => {
                let value = get(db, &family, SHAPE, &shape.0.to_le_bytes(), "a layout's shape is not there")?;
                record_layout::layout(&value)?.slots().to_vec()
            }
        };
        let layout = Layout::new(target, slots).map_err(|_| Malformed("a layout that is none"))?;
        if layout.id() == id {
            Ok(layout)
        } else {
            Err(SealedError::Malformed("a layout under another's id"))
        }
    }
}

pub(super) const NO_FAMILY: SealedError = SealedError::Malformed("a column family is missing");
const NO_NUMBER: SealedError = SealedError::Malformed("there are no more numbers for groups");

fn get(
    db: &DB,
    family: &impl rocksdb::AsColumnFamilyRef,
    kind: u8,
    name: &[u8],
    missing: &'static str,
) -> Result<Vec<u8>, SealedError> {
    db.get_cf(family, key(kind, name))?.ok_or(SealedError::Malformed(missing))
}

pub(super) fn key(kind: u8, name: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(kind);
    key.extend_from_slice(name);
    key
}

pub(super) fn number(bytes: &[u8]) -> Result<u32, SealedError> {
    let bytes = bytes.try_into().map_err(|_| SealedError::Malformed("a group's number of another length"))?;
    Ok(u32::from_be_bytes(bytes))
}

/// A stream and a layout: what a group is.
fn owner(stream: &StreamId, layout: LayoutId) -> Vec<u8> {
    let mut out = Vec::new();
    record::put_id(&mut out, stream);
    out.extend_from_slice(&layout.0.to_le_bytes());
    out
}

/// What a value of a group says that it is: XXH3-128 over stream, layout and key. The layout's id is a hash of its
/// target's labels and of its shape, so bytes that belong elsewhere give nothing here.
pub(crate) fn name_of(group: &Group, key: &super::keys::BlockKey) -> u128 {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    hasher.update(&owner(group.stream_id(), group.layout.id()));
    hasher.update(&key.bytes());
    hasher.digest128()
}

/// The same for a generation's index, which is no group's.
pub(crate) fn name_of_index(key: &super::keys::BlockKey) -> u128 {
    let mut named = Vec::new();
    put_varint(&mut named, 0);
    named.extend_from_slice(&key.bytes());
    xxhash_rust::xxh3::xxh3_128(&named)
}
