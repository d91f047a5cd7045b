//! The manifest: which windows are sealed, which generations of blocks each has, and which frames those hold.
//! What is not in it is not there.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use storage::{IntervalSet, StreamId};

use super::index::{Entry, Index};
use super::keys::DAY;
use crate::bytes::{Malformed, Reader, put_varint};
use crate::memory::allocated;
use crate::record;
use crate::window::day_of;

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
    /// What holds the other rows, those of the whole day among them; the day's other windows have the same.
    pub(crate) day: Option<Arc<Generation>>,
    /// The frames whose rows are all in the blocks.
    pub(crate) frames: HashMap<StreamId, IntervalSet>,
}

impl Generation {
    /// What its index takes up, while it is in memory.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.index.lock().as_ref().map_or(0, |index| allocated(index.0.capacity() * size_of::<Entry>()))
    }

    /// Its place among all generations, windows' and days' alike.
    pub(crate) fn order(&self) -> u32 {
        self.number & !DAY
    }

    /// Whether it holds a day.
    pub(crate) fn is_day(&self) -> bool {
        self.number & DAY != 0
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.order()));
        put_varint(out, self.rows);
        put_varint(out, self.samples);
        put_varint(out, self.bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = small(reader)?;
        if number & DAY != 0 {
            return Err(Malformed("a generation's number out of range"));
        }
        let (rows, samples, bytes) = (reader.varint()?, reader.varint()?, reader.varint()?);
        Ok(Self { number, rows, samples, bytes, index: Mutex::default() })
    }
}

impl SealedWindow {
    /// Number of its newest generation, its day's among them; 0 when it has none.
    pub(crate) fn newest(&self) -> u64 {
        let all = self.generations.iter().chain(&self.day);
        all.map(|generation| u64::from(generation.order())).max().unwrap_or(0)
    }

    /// The generation of a number.
    pub(crate) fn generation(&self, number: u32) -> Option<&Arc<Generation>> {
        self.generations.iter().chain(&self.day).find(|generation| generation.number == number)
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

    /// Number of its day, where it has one.
    pub(crate) fn day_number(&self) -> Option<u32> {
        self.day.as_ref().map(|day| day.number)
    }

    /// Its day as one that is read by itself: of the day's start, with the day's rows and no others.
    pub(crate) fn as_day(&self) -> Option<Self> {
        let day = self.day.as_ref()?;
        Some(Self { start: day_of(self.start), generations: vec![Arc::clone(day)], ..Self::default() })
    }

    /// Bytes of its own files, which its day is not.
    pub(crate) fn bytes(&self) -> u64 {
        self.generations.iter().map(|generation| generation.bytes).sum()
    }

    pub(crate) fn put(&self) -> Vec<u8> {
        let mut out = vec![if self.day.is_some() { VERSION_DAY } else { VERSION }];
        put_varint(&mut out, self.generations.len() as u64);
        self.generations.iter().chain(&self.day).for_each(|generation| generation.put(&mut out));
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
            let version = reader.byte()?;
            if version != VERSION && version != VERSION_DAY {
                return Err(Malformed("a manifest of a version that is not known here"));
            }
            let mut window = Self { start, ..Self::default() };
            for _ in 0..reader.count()? {
                window.generations.push(Arc::new(Generation::read(reader)?));
            }
            if version == VERSION_DAY {
                let day = Generation::read(reader)?;
                window.day = Some(Arc::new(Generation { number: day.number | DAY, ..day }));
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
/// Of one whose rows are in a day.
const VERSION_DAY: u8 = 2;

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
        let mut window = SealedWindow {
            start: 7_200_000,
            generations: vec![Arc::new(generation(1)), Arc::new(generation(7))],
            day: None,
            frames: [(stream(1), IntervalSet::from_iter([1..=9, 12..=12])), (stream(2), IntervalSet::new())]
                .into(),
        };
        let read = SealedWindow::read(window.start, &window.put()).expect("whole");
        assert_eq!(read.put(), window.put());
        assert_eq!(read.frames, window.frames);
        assert!(read.has(&stream(1), 12) && !read.has(&stream(1), 10) && !read.has(&stream(3), 1));
        assert!(read.has_all(&stream(1), &IntervalSet::from_iter([2..=9])));
        assert!(!read.has_all(&stream(2), &IntervalSet::from_iter([2..=2])));
        assert_eq!(read.newest(), 7);
        window.day = Some(Arc::new(generation(9 | DAY)));
        let read = SealedWindow::read(window.start, &window.put()).expect("whole");
        assert_eq!(read.put(), window.put());
        assert!(read.newest() == 9 && read.day.as_ref().is_some_and(|day| day.is_day()));
        assert_eq!(read.as_day().map(|day| (day.start, day.generations.len())), Some((0, 1)));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = SealedWindow::read(0, &bytes);
        }
    }
}
