//! What many targets have in common, kept once: pieces of their pages, and what these say of families.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::status::Families;

/// Gives equal texts the same memory while somebody holds it.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    texts: Mutex<Known<[u8]>>,
    families: Mutex<Known<Families>>,
}

#[derive(Debug)]
struct Known<T: ?Sized> {
    by_hash: HashMap<u64, Weak<T>>,
    /// With so many entries, those that nobody holds are looked for.
    sweep_at: usize,
}

const SWEEP_AT_LEAST: usize = 1_024;
/// About what a family takes up besides its texts.
const FAMILY_BYTES: usize = 200;

impl<T: ?Sized> Default for Known<T> {
    fn default() -> Self {
        Self { by_hash: HashMap::new(), sweep_at: SWEEP_AT_LEAST }
    }
}

impl Texts {
    /// The text, shared with all who have the same.
    pub(crate) fn share(&self, text: &[u8]) -> Arc<[u8]> {
        self.texts.lock().share(xxh3_64(text), |known| *known == *text, || text.into())
    }

    /// What a page says of its families, shared with all whose pages say the same.
    pub(crate) fn families(&self, said: Arc<Families>) -> Arc<Families> {
        let mut hasher = Xxh3::new();
        said.hash(&mut hasher);
        let hash = hasher.finish();
        self.families.lock().share(hash, |known| *known == *said, || Arc::clone(&said))
    }

    /// About how many bytes it takes up, without the texts, which their holders count.
    pub(crate) fn bytes(&self) -> usize {
        let (texts, families) = (self.texts.lock(), self.families.lock());
        let of = |said: Arc<Families>| {
            let texts = said.iter().map(|(name, said)| name.len() + said.help.len() + said.unit.len());
            texts.map(|bytes| bytes + FAMILY_BYTES).sum::<usize>()
        };
        let held = families.by_hash.values().filter_map(Weak::upgrade);
        texts.bytes() + families.bytes() + held.map(of).sum::<usize>()
    }
}

impl<T: ?Sized> Known<T> {
    fn share(&mut self, hash: u64, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        if let Some(shared) = self.by_hash.get(&hash).and_then(Weak::upgrade)
            && is_it(&shared)
        {
            return shared;
        }
        if self.by_hash.len() >= self.sweep_at {
            self.by_hash.retain(|_, text| text.strong_count() > 0);
            self.sweep_at = SWEEP_AT_LEAST.max(2 * self.by_hash.len());
        }
        let shared = make();
        self.by_hash.insert(hash, Arc::downgrade(&shared));
        shared
    }

    fn bytes(&self) -> usize {
        self.by_hash.capacity() * (size_of::<(u64, Weak<T>)>() + 1)
    }
}

#[cfg(test)]
mod tests {
    use model::Metadata;

    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let texts = Texts::default();
        let (one, two) = (texts.share(b"a"), texts.share(b"a"));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &texts.share(b"b")));
        for number in 0..10 * SWEEP_AT_LEAST {
            texts.share(number.to_string().as_bytes());
        }
        assert!(texts.texts.lock().by_hash.len() <= SWEEP_AT_LEAST, "nobody holds them");
        assert!(Arc::ptr_eq(&one, &texts.share(b"a")), "this one is held");
    }

    #[test]
    fn families_that_are_said_alike_are_one() {
        let texts = Texts::default();
        let said = |help: &str| {
            let said = Metadata { help: help.into(), ..Metadata::default() };
            texts.families(Arc::new(Families::from([("a".into(), said)])))
        };
        let one = said("x");
        let before = texts.bytes();
        assert!(Arc::ptr_eq(&one, &said("x")));
        assert_eq!(texts.bytes(), before);
        let other = said("y");
        assert_eq!(other.get("a").map(|said| &*said.help), Some("y"));
        assert!(texts.bytes() >= before + FAMILY_BYTES);
    }
}
