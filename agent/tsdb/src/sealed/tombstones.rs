//! Deletions: a matcher set and a range whose samples are hidden for good, whenever they arrive. They are applied
//! to what is read, and to rows on their way into blocks; what they hide leaves the disk with the blocks of before.

use std::sync::Arc;

use model::{Labels, MatchOp, Matcher};
use rocksdb::{Direction, IteratorMode, WriteBatch};
use storage::{StreamInfo, TimeRange};

use super::db::MANIFEST;
use super::error::SealedError;
use super::store::{SealedStore, Vault};
use crate::bytes::{Malformed, put_text, put_varint, put_zigzag};
use crate::group::{Columns, Group, Matching};
use crate::record;

/// Keys of deletions begin with it.
const DELETION: u8 = b'd';
const VERSION: u8 = 1;
/// Of a deletion that holds for one agent's series, as they are there.
const VERSION_SCOPED: u8 = 2;
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
    /// What the stream of the agent that took it adds to its series; empty where it holds for all series as they are
    /// shown here.
    pub(crate) external: Labels,
}

impl Deletion {
    /// The same, taken by the store that writes a stream: it means that store's series, by the labels they have there.
    pub(crate) fn in_stream(self, info: &StreamInfo) -> Self {
        Self { external: info.external.clone(), ..self }
    }

    /// Whether it hides samples of a series, somewhere.
    pub(crate) fn touches(&self, labels: &Labels) -> bool {
        if self.external.is_empty() {
            return self.matchers.iter().all(|matcher| matcher.matches_labels(labels));
        }
        self.is_theirs(labels)
            && self.matchers.iter().all(|matcher| matcher.matches(self.inside(labels, matcher.name())))
    }

    /// Whether a series, as it is shown here, is of the agent that took the deletion.
    fn is_theirs(&self, labels: &Labels) -> bool {
        labels.get(StreamInfo::AGENT) == self.external.get(StreamInfo::AGENT)
    }

    /// A label's value at the agent. What equals an external label was not there: that is where it came from.
    fn inside<'a>(&self, labels: &'a Labels, name: &str) -> &'a str {
        match (self.external.get(name), labels.value(name)) {
            (Some(_), _) if name == StreamInfo::AGENT => labels.value(StreamInfo::EXPORTED_AGENT),
            (Some(external), shown) if external == shown => "",
            (_, shown) => shown,
        }
    }

    /// The slots of a group that it hides samples of.
    pub(crate) fn slots(&self, group: &Group) -> Arc<[u32]> {
        if self.external.is_empty() {
            return Matching::of(Columns::All, &self.matchers).slots(group);
        }
        if !self.is_theirs(&group.common()) {
            return Arc::from([]);
        }
        (0..group.slots() as u32).filter(|slot| self.touches(&group.series(*slot))).collect()
    }

    pub(crate) fn put(&self) -> Vec<u8> {
        let mut out = vec![if self.external.is_empty() { VERSION } else { VERSION_SCOPED }];
        if !self.external.is_empty() {
            record::put_labels(&mut out, &self.external);
        }
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

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        record::whole(bytes, |reader| {
            let external = match reader.byte()? {
                VERSION => Labels::empty(),
                VERSION_SCOPED => record::labels(reader)?,
                _ => return Err(Malformed("a deletion of a version that is not known here")),
            };
            let range = TimeRange { start: reader.zigzag()?, end: reader.zigzag()? };
            let mut matchers = Vec::new();
            for _ in 0..reader.count()? {
                let op = *OPS.get(usize::from(reader.byte()?)).ok_or(Malformed("an unknown operator"))?;
                let (name, value) = (reader.text()?, reader.text()?);
                let matcher = Matcher::new(name, op, value);
                matchers.push(matcher.map_err(|_| Malformed("a matcher that is none"))?);
            }
            Ok(Self { matchers, range, external })
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

    /// Puts another deletion in force, synced; one that is in force stays the only one.
    pub(crate) fn delete(&self, deletion: Deletion) -> Result<(), SealedError> {
        let mut deletions = self.deletions.write();
        let said = deletion.put();
        if deletions.iter().any(|known| known.put() == said) {
            return Ok(());
        }
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
        batch.put_cf(&family, key, said);
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
        for external in [Labels::empty(), Labels::from_pairs([("agent", "x")])] {
            let range = TimeRange { start: -5, end: i64::MAX };
            let deletion = Deletion { matchers: matchers.clone(), range, external: external.clone() };
            let read = Deletion::read(&deletion.put()).expect("whole");
            assert_eq!(read.put(), deletion.put());
            assert_eq!((read.range, read.external), (deletion.range, external));
        }
    }

    /// A series at a replica is hidden where the agent hid it.
    #[test]
    fn an_agents_deletion_means_its_own_series_by_their_own_labels() {
        let external = Labels::from_pairs([("agent", "n"), ("site", "x")]);
        let id = storage::StreamId { agent: "n".into(), epoch: storage::Epoch(1) };
        let info = StreamInfo { id, minted_ms: 0, external };
        let range = TimeRange { start: 0, end: 9 };
        let one = |name, op, value| vec![Matcher::new(name, op, value).expect("valid")];
        let at_agent = |matchers| Deletion { matchers, range, external: Labels::empty() };
        let series: Vec<Labels> =
            [vec![("job", "a")], vec![("job", "a"), ("site", "y")], vec![("agent", "other"), ("job", "b")]]
                .map(Labels::from_pairs)
                .to_vec();
        for (name, value) in [
            ("job", "a"),
            ("job", "b"),
            ("site", "x"),
            ("site", "y"),
            ("site", ""),
            ("agent", "n"),
            ("agent", "other"),
        ] {
            for op in OPS {
                let there = at_agent(one(name, op, value));
                let here = there.clone().in_stream(&info);
                for labels in &series {
                    assert_eq!(
                        here.touches(&info.outside(labels)),
                        there.touches(labels),
                        "{name} {op:?} {value}: {labels:?}"
                    );
                }
                let stranger = Labels::from_pairs([("agent", "m"), ("job", "a"), ("site", "x")]);
                assert!(!here.touches(&stranger));
            }
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Deletion::read(&bytes);
        }
    }
}
