//! Deletions: a matcher set and a range whose samples are hidden for good, whenever they arrive. They are applied
//! to what is read, and to rows on their way into blocks; what they hide leaves the disk with the blocks of before.

use std::sync::Arc;

use model::{Labels, MatchOp, Matcher};
use rocksdb::{Direction, IteratorMode, WriteBatch};
use storage::TimeRange;

use super::db::MANIFEST;
use super::error::SealedError;
use super::store::{SealedStore, Vault};
use crate::bytes::{Malformed, put_text, put_varint, put_zigzag};
use crate::group::{Group, Matching};
use crate::record;

/// Keys of deletions begin with it.
const DELETION: u8 = b'd';
const VERSION: u8 = 1;
/// Deletions in force, at most: each is looked at for each series of an answer that it may touch.
pub(crate) const DELETIONS_MAX: usize = 10_000;

/// Operators in the order of their numbers.
const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

/// One deletion.
#[derive(Clone, Debug)]
pub(crate) struct Deletion {
    /// All must pass.
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
}

impl Deletion {
    /// Whether it hides samples of a series, somewhere.
    pub(crate) fn touches(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|matcher| matcher.matches_labels(labels))
    }

    /// The slots of a group that it hides samples of.
    pub(crate) fn slots(&self, group: &Group) -> Arc<[u32]> {
        Matching::new(&self.matchers).slots(group)
    }

    fn put(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_zigzag(&mut out, self.range.start);
        put_zigzag(&mut out, self.range.end);
        put_varint(&mut out, self.matchers.len() as u64);
        for matcher in &self.matchers {
            let op = OPS.iter().position(|op| *op == matcher.op());
            out.push(op.unwrap_or_default() as u8);
            put_text(&mut out, matcher.name());
            put_text(&mut out, matcher.value());
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        record::whole(bytes, |reader| {
            if reader.byte()? != VERSION {
                return Err(Malformed("a deletion of a version that is not known here"));
            }
            let range = TimeRange { start: reader.zigzag()?, end: reader.zigzag()? };
            let mut matchers = Vec::new();
            for _ in 0..reader.count()? {
                let op = *OPS.get(usize::from(reader.byte()?)).ok_or(Malformed("an unknown operator"))?;
                let (name, value) = (reader.text()?, reader.text()?);
                let matcher = Matcher::new(name, op, value);
                matchers.push(matcher.map_err(|_| Malformed("a matcher that is none"))?);
            }
            Ok(Self { matchers, range })
        })
    }
}

/// What is wrong with an entry of the manifest, if it is a deletion.
pub(super) fn fault(key: &[u8], value: &[u8]) -> Option<Malformed> {
    if key.first() == Some(&DELETION) { Deletion::read(value).err() } else { None }
}

impl Vault {
    /// The deletions in force.
    pub(crate) fn deletions(&self) -> Arc<Vec<Deletion>> {
        self.get().map(|store| store.deletions.read().clone()).unwrap_or_default()
    }
}

impl SealedStore {
    /// Puts in force the deletions that the manifest has.
    pub(super) fn read_deletions(&self) -> Result<(), SealedError> {
        *self.deletions.write() = Arc::new(self.recorded_deletions()?);
        Ok(())
    }

    /// The deletions in the manifest; one that cannot be read is told, and hides nothing.
    fn recorded_deletions(&self) -> Result<Vec<Deletion>, SealedError> {
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut found = Vec::new();
        for entry in self.db.iterator_cf(&family, IteratorMode::From(&[DELETION], Direction::Forward)) {
            let (key, value) = entry?;
            if key.first() != Some(&DELETION) {
                break;
            }
            match Deletion::read(&value) {
                Ok(deletion) => found.push(deletion),
                Err(error) => tracing::error!(%error, "a deletion cannot be read: what it hid is shown"),
            }
        }
        Ok(found)
    }

    /// Puts another deletion in force, synced.
    pub(crate) fn delete(&self, deletion: Deletion) -> Result<(), SealedError> {
        let mut deletions = self.deletions.write();
        if deletions.len() >= DELETIONS_MAX {
            return Err(SealedError::Malformed("there are 10000 deletions, more cannot be in force"));
        }
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let newest = [DELETION + 1];
        let mut backwards = self.db.iterator_cf(&family, IteratorMode::From(&newest, Direction::Reverse));
        let number = match backwards.next().transpose()? {
            Some((key, _)) if key.first() == Some(&DELETION) => {
                key.get(1..).and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes)
            }
            _ => 0,
        };
        drop(backwards);
        let mut key = vec![DELETION];
        key.extend_from_slice(&number.saturating_add(1).to_be_bytes());
        let mut batch = WriteBatch::default();
        batch.put_cf(&family, key, deletion.put());
        self.write(batch)?;
        let mut all = (**deletions).clone();
        all.push(deletion);
        *deletions = Arc::new(all);
        Ok(())
    }

    /// Forgets deletions that hide nothing any more: all of what they could hide is past retention.
    pub(crate) fn forget_deletions(&self, floor: i64) -> Result<(), SealedError> {
        // Held to the end: one that comes meanwhile must not be missing from the new list.
        let mut deletions = self.deletions.write();
        if deletions.iter().all(|deletion| deletion.range.end >= floor) {
            return Ok(());
        }
        let family = self.db.cf_handle(MANIFEST).ok_or(SealedError::Malformed("the manifest is missing"))?;
        let mut batch = WriteBatch::default();
        for entry in self.db.iterator_cf(&family, IteratorMode::From(&[DELETION], Direction::Forward)) {
            let (key, value) = entry?;
            if key.first() != Some(&DELETION) {
                break;
            }
            if Deletion::read(&value).is_ok_and(|deletion| deletion.range.end < floor) {
                batch.delete_cf(&family, key);
            }
        }
        self.write(batch)?;
        *deletions = Arc::new(self.recorded_deletions()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_deletion_comes_back() {
        let matchers = OPS.map(|op| Matcher::new("a", op, "x|y").expect("valid")).to_vec();
        let deletion = Deletion { matchers, range: TimeRange { start: -5, end: i64::MAX } };
        let read = Deletion::read(&deletion.put()).expect("whole");
        assert_eq!(read.put(), deletion.put());
        assert_eq!(read.range, deletion.range);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Deletion::read(&bytes);
        }
    }
}
