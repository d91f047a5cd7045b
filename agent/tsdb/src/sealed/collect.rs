//! Collecting what no window refers to any more: groups, layouts, shapes and streams of targets that are gone.
//!
//! A number is never given again: how far they were given is kept with the first removal. Groups go first, each
//! together with its name, then layouts, then shapes, then streams, so that wherever it is cut short whatever is
//! there finds what it refers to, and the next time goes on. While a file or an index cannot be accounted for
//! nothing goes.

use std::collections::{BTreeSet, HashSet};

use rocksdb::{DB, IteratorMode, WriteBatch};
use storage::{LayoutId, ShapeId, StreamId};

use super::db::{BLOCKS, IDENTITY, MANIFEST};
use super::error::SealedError;
use super::identity::{self, GROUP, Identity, LAYOUT, MARK, NO_FAMILY, NUMBER, SHAPE, STREAM};
use super::keys::BlockKey;
use super::store::SealedStore;
use crate::record;

/// Records that are removed with one write.
const AT_ONCE: usize = 4_096;

/// What is referred to, and so stays.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    pub(crate) groups: BTreeSet<u32>,
    pub(crate) streams: HashSet<StreamId>,
}

impl SealedStore {
    /// Removes what no window refers to; tells how many records that were, and what is in use. The caller holds
    /// `sealing`: nobody gives numbers meanwhile. None where it cannot be told.
    pub(crate) fn collect(&self) -> Result<Option<(u64, InUse)>, SealedError> {
        let Some(mut in_use) = self.in_use()? else { return Ok(None) };
        let removed = self.identity.collect(&self.db, &mut in_use, |batch| self.write(batch))?;
        Ok(Some((removed, in_use)))
    }

    /// The groups and streams of all windows, those among them that are only read still.
    fn in_use(&self) -> Result<Option<InUse>, SealedError> {
        // An index that cannot be read, or a window that the manifest does not tell: who knows what they refer to.
        if !self.damaged_windows().is_empty() {
            return Ok(None);
        }
        let mut all = self.gone();
        let mut in_use = InUse::default();
        for window in self.windows() {
            in_use.streams.extend(window.frames.keys().cloned());
        }
        all.extend(self.generations());
        let known: HashSet<(i64, u32)> =
            all.iter().map(|(start, generation)| (*start, generation.number)).collect();
        for file in self.db.live_files()? {
            let first = file.start_key.as_deref().and_then(BlockKey::read);
            let is_known = match file.column_family_name.as_str() {
                BLOCKS => first.is_some_and(|key| known.contains(&(key.window, key.generation))),
                family => [IDENTITY, MANIFEST].contains(&family),
            };
            if !is_known {
                tracing::debug!(file = file.name, "no window lists this file: nothing is collected");
                return Ok(None);
            }
        }
        for (start, generation) in all {
            in_use.groups.extend(self.index(start, &generation)?.0.iter().map(|entry| entry.group));
            *generation.index.lock() = None;
        }
        Ok(Some(in_use))
    }
}

impl Identity {
    /// `write` syncs.
    fn collect(
        &self,
        db: &DB,
        in_use: &mut InUse,
        write: impl Fn(WriteBatch) -> Result<(), SealedError>,
    ) -> Result<u64, SealedError> {
        let next = self.next.lock();
        let family = db.cf_handle(IDENTITY).ok_or(NO_FAMILY)?;
        let (mut layouts, mut shapes) = (HashSet::new(), HashSet::new());
        let mut going: [Vec<Vec<u8>>; 4] = Default::default();
        for entry in db.iterator_cf(&family, IteratorMode::Start) {
            let (key, owner) = entry?;
            let Some((&GROUP, name)) = key.split_first() else { continue };
            if in_use.groups.contains(&identity::number(name)?) {
                let (id, layout) =
                    record::whole(&owner, |reader| Ok((record::id(reader)?, LayoutId(reader.u128_le()?))))?;
                in_use.streams.insert(id);
                layouts.insert(layout);
            } else {
                going[0].push(identity::key(NUMBER, &xxhash_rust::xxh3::xxh3_128(&owner).to_le_bytes()));
                going[0].push(key.to_vec());
            }
        }
        for layout in &layouts {
            let value = db.get_cf(&family, identity::key(LAYOUT, &layout.0.to_le_bytes()))?;
            let value = value.ok_or(SealedError::Malformed("a group's layout is not there"))?;
            let shape = value.first_chunk().map(|bytes| ShapeId(u128::from_le_bytes(*bytes)));
            shapes.insert(shape.ok_or(SealedError::Malformed("a layout without a shape"))?);
        }
        for entry in db.iterator_cf(&family, IteratorMode::Start) {
            let (key, _) = entry?;
            let Some((&kind, name)) = key.split_first() else { continue };
            let wide = name.try_into().map(u128::from_le_bytes);
            match kind {
                LAYOUT if wide.is_ok_and(|id| !layouts.contains(&LayoutId(id))) => {
                    going[1].push(key.to_vec());
                }
                SHAPE if wide.is_ok_and(|id| !shapes.contains(&ShapeId(id))) => going[2].push(key.to_vec()),
                STREAM => {
                    let id = record::whole(name, record::id)?;
                    if !in_use.streams.contains(&id) {
                        going[3].push(key.to_vec());
                    }
                }
                _ => {}
            }
        }
        let count = going.iter().map(Vec::len).sum::<usize>();
        // An even number: a group and its name go together.
        for keys in going.iter().flat_map(|keys| keys.chunks(AT_ONCE)) {
            let mut batch = WriteBatch::default();
            batch.put_cf(&family, [MARK], next.to_be_bytes());
            keys.iter().for_each(|key| batch.delete_cf(&family, key));
            write(batch)?;
        }
        self.forget(&in_use.groups);
        Ok(count as u64)
    }
}
