//! Texts that many targets have in common, kept once.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

/// Gives equal texts the same memory while somebody holds it.
#[derive(Debug)]
pub(crate) struct Texts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    by_hash: HashMap<u64, Weak<[u8]>>,
    /// With so many entries, those that nobody holds are looked for.
    sweep_at: usize,
}

const SWEEP_AT_LEAST: usize = 1_024;

impl Default for Texts {
    fn default() -> Self {
        Self(Mutex::new(Known { by_hash: HashMap::new(), sweep_at: SWEEP_AT_LEAST }))
    }
}

impl Texts {
    /// The text, shared with all who have the same.
    pub(crate) fn share(&self, text: &[u8]) -> Arc<[u8]> {
        let hash = xxh3_64(text);
        let mut known = self.0.lock();
        if let Some(shared) = known.by_hash.get(&hash).and_then(Weak::upgrade)
            && *shared == *text
        {
            return shared;
        }
        if known.by_hash.len() >= known.sweep_at {
            known.by_hash.retain(|_, text| text.strong_count() > 0);
            known.sweep_at = SWEEP_AT_LEAST.max(2 * known.by_hash.len());
        }
        let shared: Arc<[u8]> = text.into();
        known.by_hash.insert(hash, Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let texts = Texts::default();
        let (one, two) = (texts.share(b"a"), texts.share(b"a"));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &texts.share(b"b")));
        for number in 0..10 * SWEEP_AT_LEAST {
            texts.share(number.to_string().as_bytes());
        }
        assert!(texts.0.lock().by_hash.len() <= SWEEP_AT_LEAST, "nobody holds them");
        assert!(Arc::ptr_eq(&one, &texts.share(b"a")), "this one is held");
    }
}
