//! The manifest: which windows are sealed, which generations of blocks each has, and which frames those hold.
//! What is not in it is not there.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use storage::{IntervalSet, StreamId};

use super::index::Index;
use crate::bytes::{Malformed, Reader, put_varint};
use crate::record;

/// One set of blocks of a window, written at once.
#[derive(Debug, Default)]
pub(crate) struct Generation {
    pub(crate) number: u32,
    pub(crate) rows: u64,
    pub(crate) samples: u64,
    /// Of its file.
    pub(crate) bytes: u64,
    /// Its index, while it is used often.
    pub(crate) index: Mutex<Option<Arc<Index>>>,
}

/// A sealed window.
#[derive(Clone, Debug, Default)]
pub(crate) struct SealedWindow {
    pub(crate) start: i64,
    /// In order of number: later ones hold frames that came later.
    pub(crate) generations: Vec<Arc<Generation>>,
    /// The frames whose rows are all in the blocks.
    pub(crate) frames: HashMap<StreamId, IntervalSet>,
}

impl SealedWindow {
    /// Number of its newest generation; 0 when it has none.
    pub(crate) fn newest(&self) -> u64 {
        self.generations.iter().map(|generation| u64::from(generation.number)).max().unwrap_or(0)
    }

    /// The generation of a number.
    pub(crate) fn generation(&self, number: u32) -> Option<&Arc<Generation>> {
        self.generations.iter().find(|generation| generation.number == number)
    }

    /// Whether a frame is in the blocks.
    pub(crate) fn has(&self, stream: &StreamId, seq: u64) -> bool {
        self.frames.get(stream).is_some_and(|frames| frames.contains(seq))
    }

    /// Whether all of some frames are in the blocks.
    pub(crate) fn has_all(&self, stream: &StreamId, frames: &IntervalSet) -> bool {
        match self.frames.get(stream) {
            Some(known) => frames.difference(known).is_empty(),
            None => frames.is_empty(),
        }
    }

    /// Bytes of its files.
    pub(crate) fn bytes(&self) -> u64 {
        self.generations.iter().map(|generation| generation.bytes).sum()
    }

    pub(crate) fn put(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_varint(&mut out, self.generations.len() as u64);
        for generation in &self.generations {
            put_varint(&mut out, u64::from(generation.number));
            put_varint(&mut out, generation.rows);
            put_varint(&mut out, generation.samples);
            put_varint(&mut out, generation.bytes);
        }
        let mut frames: Vec<_> = self.frames.iter().collect();
        frames.sort_by_key(|(stream, _)| *stream);
        put_varint(&mut out, frames.len() as u64);
        for (stream, set) in frames {
            record::put_id(&mut out, stream);
            record::put_set(&mut out, set);
        }
        out
    }

    pub(crate) fn read(start: i64, bytes: &[u8]) -> Result<Self, Malformed> {
        record::whole(bytes, |reader| {
            if reader.byte()? != VERSION {
                return Err(Malformed("a manifest of a version that is not known here"));
            }
            let mut window = Self { start, ..Self::default() };
            for _ in 0..reader.count()? {
                let number = small(reader)?;
                let (rows, samples, bytes) = (reader.varint()?, reader.varint()?, reader.varint()?);
                let index = Mutex::default();
                window.generations.push(Arc::new(Generation { number, rows, samples, bytes, index }));
            }
            for _ in 0..reader.count()? {
                let stream = record::id(reader)?;
                window.frames.insert(stream, record::set(reader)?);
            }
            Ok(window)
        })
    }
}

const VERSION: u8 = 1;

/// A number of 32 bits.
pub(crate) fn small(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(reader.varint()?).map_err(|_| Malformed("a number over 32 bits"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Epoch;

    use super::*;

    #[test]
    fn a_window_comes_back() {
        let stream = |epoch| StreamId { agent: "n".into(), epoch: Epoch(epoch) };
        let generation =
            |number| Generation { number, rows: 480, samples: 1 << 33, bytes: 77, ..Default::default() };
        let window = SealedWindow {
            start: 7_200_000,
            generations: vec![Arc::new(generation(1)), Arc::new(generation(7))],
            frames: [(stream(1), IntervalSet::from_iter([1..=9, 12..=12])), (stream(2), IntervalSet::new())]
                .into(),
        };
        let read = SealedWindow::read(window.start, &window.put()).expect("whole");
        assert_eq!(read.put(), window.put());
        assert_eq!(read.frames, window.frames);
        assert!(read.has(&stream(1), 12) && !read.has(&stream(1), 10) && !read.has(&stream(3), 1));
        assert!(read.has_all(&stream(1), &IntervalSet::from_iter([2..=9])));
        assert!(!read.has_all(&stream(2), &IntervalSet::from_iter([2..=2])));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = SealedWindow::read(0, &bytes);
        }
    }
}
