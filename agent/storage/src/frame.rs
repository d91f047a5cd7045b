//! Frames: what a commit batch is called once it is in the log, on the wire, or at a replica.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::append::Commit;
use crate::error::FrameError;
use crate::interval::IntervalSet;
use crate::layout::{Layout, LayoutId};
use crate::query::TimeRange;
use crate::stream::{StreamId, StreamInfo};

/// Names one frame everywhere and for good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameKey {
    /// Whose life.
    pub stream: StreamId,
    /// Counted from 1 in that life, without holes.
    pub seq: u64,
}

/// 128-bit hash of a frame's content and of the frame before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameHash(pub u128);

impl FrameHash {
    /// What the first frame of a stream names as its predecessor.
    pub const ROOT: Self = Self(0);
}

impl fmt::Debug for FrameHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A commit batch: rows of one stream, inside one 2 h window. Its bytes never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    key: FrameKey,
    prev: FrameHash,
    hash: FrameHash,
    range: TimeRange,
    layouts: Vec<LayoutId>,
    body: Bytes,
}

impl Frame {
    /// Uncompressed bytes that a body may have.
    pub const BODY_MAX: usize = 16 << 20;

    /// A new frame after the one whose hash is `prev`. `range` is that of its rows, `layouts` are
    /// those that its rows name by position.
    #[must_use]
    pub fn new(
        key: FrameKey,
        prev: FrameHash,
        range: TimeRange,
        layouts: Vec<LayoutId>,
        body: Bytes,
    ) -> Self {
        let hash = Self::chain(&key, prev, range, &layouts, &body);
        Self { key, prev, hash, range, layouts, body }
    }

    /// A frame that came from a disk or a network.
    ///
    /// # Errors
    /// When content and hash do not belong together, or the body is over [`Frame::BODY_MAX`].
    pub fn received(
        key: FrameKey,
        prev: FrameHash,
        hash: FrameHash,
        range: TimeRange,
        layouts: Vec<LayoutId>,
        body: Bytes,
    ) -> Result<Self, FrameError> {
        let corrupt =
            |what: String| FrameError::Corrupt { stream: key.stream.to_string(), seq: key.seq, what };
        if body.len() > Self::BODY_MAX {
            return Err(corrupt(format!("a body of {} bytes, at most {}", body.len(), Self::BODY_MAX)));
        }
        if Self::chain(&key, prev, range, &layouts, &body) != hash {
            return Err(corrupt("the hash does not match the content".to_owned()));
        }
        Ok(Self { key, prev, hash, range, layouts, body })
    }

    /// XXH3-128 over the predecessor's hash, then key, range, layouts and body, integers little-endian.
    fn chain(
        key: &FrameKey,
        prev: FrameHash,
        range: TimeRange,
        layouts: &[LayoutId],
        body: &[u8],
    ) -> FrameHash {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(&prev.0.to_le_bytes());
        hasher.update(&(key.stream.agent.len() as u64).to_le_bytes());
        hasher.update(key.stream.agent.as_bytes());
        hasher.update(&key.stream.epoch.0.to_le_bytes());
        hasher.update(&key.seq.to_le_bytes());
        hasher.update(&range.start.to_le_bytes());
        hasher.update(&range.end.to_le_bytes());
        hasher.update(&(layouts.len() as u64).to_le_bytes());
        for layout in layouts {
            hasher.update(&layout.0.to_le_bytes());
        }
        hasher.update(body);
        FrameHash(hasher.digest128())
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> &FrameKey {
        &self.key
    }

    /// The hash of the frame before it; [`FrameHash::ROOT`] for the first.
    #[must_use]
    pub fn prev(&self) -> FrameHash {
        self.prev
    }

    /// Its own hash.
    #[must_use]
    pub fn hash(&self) -> FrameHash {
        self.hash
    }

    /// First and last timestamp of its rows.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// The layouts that its rows use.
    #[must_use]
    pub fn layouts(&self) -> &[LayoutId] {
        &self.layouts
    }

    /// The encoded rows, uncompressed (FORMAT.md).
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

/// What became of an offered frame.
#[derive(Debug)]
pub enum Receipt {
    /// Taken; acknowledge it when the commit is durable.
    Appended(Commit),
    /// It was here already, with the same hash; the commit tells when it is (or was) durable.
    Duplicate(Commit),
    /// A layout that it uses is unknown here: offer that first.
    NeedLayout(LayoutId),
    /// Another frame of this name, or another predecessor, is here: the sender (or the other one) is
    /// a copy of a running machine. It must go on in a new epoch.
    Clone {
        /// The last frame that both have in common.
        common: u64,
    },
}

/// Takes frames that others wrote, each once.
pub trait FrameSink: Send + Sync {
    /// Makes a stream known, with the labels its series carry here.
    ///
    /// # Errors
    /// When the store cannot take it.
    fn open_stream(&self, info: StreamInfo) -> Result<(), FrameError>;

    /// Makes a layout known.
    ///
    /// # Errors
    /// When the store cannot take it.
    fn add_layout(&self, layout: Layout) -> Result<(), FrameError>;

    /// Which of these layouts are unknown.
    fn unknown_layouts(&self, ids: &[LayoutId]) -> Vec<LayoutId>;

    /// Offers a frame, in any order, any number of times.
    ///
    /// # Errors
    /// When the frame's rows cannot be decoded by anybody, the stream is unknown, or the store is unavailable.
    fn append(&self, frame: Frame) -> Result<Receipt, FrameError>;

    /// The frames of a stream that were taken, whether or not they are still kept.
    fn received(&self, stream: &StreamId) -> IntervalSet;

    /// The part of [`FrameSink::received`] that survives a power cut.
    fn durable(&self, stream: &StreamId) -> IntervalSet;

    /// Marks frames as received without having them: somebody else vouches that they are gone for good.
    ///
    /// # Errors
    /// When the store cannot record it.
    fn adopt(&self, stream: &StreamId, gone: &IntervalSet) -> Result<(), FrameError>;
}

/// Gives the frames that a store holds: its own and those it received.
pub trait FrameSource: Send + Sync {
    /// Every stream of which a frame was taken.
    fn streams(&self) -> Vec<StreamInfo>;

    /// The stream that this store itself writes now.
    fn own_stream(&self) -> StreamInfo;

    /// The frames of a stream that are kept here.
    fn held(&self, stream: &StreamId) -> IntervalSet;

    /// Kept frames from `from` on in order of sequence, about `bytes_max` bytes of bodies, at least one if any.
    ///
    /// # Errors
    /// When reading fails; a frame whose bytes are damaged is left out and counted, not an error.
    fn frames(&self, stream: &StreamId, from: u64, bytes_max: usize) -> Result<Vec<Frame>, FrameError>;

    /// A layout by id.
    fn find_layout(&self, id: LayoutId) -> Option<Arc<Layout>>;

    /// Changes whenever frames were added: its value is the log's position.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Asks that each layout's next row be a keyframe: somebody starts to listen.
    fn request_keyframes(&self);

    /// Mints a new epoch for the own stream, with these external labels. Rows appended from now on
    /// belong to it; layout references of before are answered `Relayout`.
    ///
    /// # Errors
    /// When the store cannot record it.
    fn renew_epoch(&self, external: model::Labels) -> Result<StreamInfo, FrameError>;

    /// Appends the rows of an own earlier stream's frames above `after` anew, under the current
    /// epoch: the answer to a receiver that met a clone.
    ///
    /// # Errors
    /// When reading or appending fails.
    fn refile(&self, stream: &StreamId, after: u64) -> Result<u64, FrameError>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Epoch;

    fn frame(seq: u64, body: &'static [u8]) -> Frame {
        let stream = StreamId { agent: "a".into(), epoch: Epoch(1) };
        Frame::new(
            FrameKey { stream, seq },
            FrameHash(5),
            TimeRange { start: 1, end: 2 },
            vec![LayoutId(3)],
            Bytes::from_static(body),
        )
    }

    #[test]
    fn a_frame_is_taken_only_with_its_own_hash() {
        let sent = frame(1, b"rows");
        let again = |hash, body: &'static [u8]| {
            Frame::received(
                sent.key().clone(),
                sent.prev(),
                hash,
                sent.range(),
                sent.layouts().to_vec(),
                Bytes::from_static(body),
            )
        };
        assert_eq!(again(sent.hash(), b"rows").expect("whole"), sent);
        assert!(again(sent.hash(), b"rowz").is_err());
        assert!(again(FrameHash(1), b"rows").is_err());
        assert_ne!(frame(1, b"rows").hash(), frame(2, b"rows").hash());
    }
}
