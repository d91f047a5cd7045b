//! What to ship next: the pure part of a connection.

use std::collections::BTreeMap;

use storage::{Frame, FrameKey, IntervalSet, StreamId};

/// What one replica has, was sent, or will never take; and so what is next.
#[derive(Debug, Default)]
pub(crate) struct Shipping {
    /// On the replica's disk.
    durable: BTreeMap<StreamId, IntervalSet>,
    /// Sent on this connection, or known to be received, or given up: not to be sent again now.
    settled: BTreeMap<StreamId, IntervalSet>,
    /// Sent and not yet durable, with the bytes they cost.
    in_flight: BTreeMap<FrameKey, usize>,
    in_flight_bytes: usize,
}

impl Shipping {
    /// The replica says that it has these, though perhaps not on its disk yet.
    pub(crate) fn received(&mut self, stream: &StreamId, set: &IntervalSet) {
        self.settled.entry(stream.clone()).or_default().union(set);
    }

    /// The replica has these on its disk; tells how many frames in flight that settles.
    pub(crate) fn acked(&mut self, stream: &StreamId, set: &IntervalSet) -> u64 {
        self.received(stream, set);
        self.durable.insert(stream.clone(), set.clone());
        self.land(stream, set)
    }

    /// A frame was sent.
    pub(crate) fn sent(&mut self, frame: &Frame) {
        self.settled.entry(frame.key().stream.clone()).or_default().insert(frame.key().seq);
        self.in_flight_bytes += frame.body().len();
        self.in_flight.insert(frame.key().clone(), frame.body().len());
    }

    /// A frame will not be sent on this connection: refused for good, or not readable here.
    pub(crate) fn give_up(&mut self, stream: &StreamId, frames: &IntervalSet) {
        self.settled.entry(stream.clone()).or_default().union(frames);
        self.land(stream, frames);
    }

    /// A frame that the replica could not take now: it is sent again.
    pub(crate) fn send_again(&mut self, stream: &StreamId, seq: u64) {
        let one = IntervalSet::from_iter([seq..=seq]);
        if let Some(settled) = self.settled.get_mut(stream) {
            *settled = settled.difference(&one);
        }
        self.land(stream, &one);
    }

    /// Takes frames out of the window; tells how many there were.
    fn land(&mut self, stream: &StreamId, set: &IntervalSet) -> u64 {
        let before = self.in_flight.len();
        let bytes = &mut self.in_flight_bytes;
        self.in_flight.retain(|key, size| {
            let landed = key.stream == *stream && set.contains(key.seq);
            *bytes -= if landed { *size } else { 0 };
            !landed
        });
        (before - self.in_flight.len()) as u64
    }

    /// Bytes of bodies sent and not acknowledged.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// What of the kept frames is to be sent, where the stream may be shipped up to `last`.
    pub(crate) fn missing(&self, stream: &StreamId, held: &IntervalSet, last: Option<u64>) -> IntervalSet {
        let empty = IntervalSet::new();
        let mut missing = held.difference(self.settled.get(stream).unwrap_or(&empty));
        if let Some(beyond) = last.and_then(|last| last.checked_add(1)) {
            missing = missing.difference(&IntervalSet::from_iter([beyond..=u64::MAX]));
        }
        missing
    }

    /// Kept frames that are not on the replica's disk.
    pub(crate) fn lag(&self, stream: &StreamId, held: &IntervalSet) -> u64 {
        self.durable.get(stream).map_or(held.count(), |durable| held.difference(durable).count())
    }

    /// What is on the replica's disk.
    pub(crate) fn durable(&self) -> &BTreeMap<StreamId, IntervalSet> {
        &self.durable
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use storage::{Epoch, FrameHash, TimeRange};

    use super::*;

    fn stream() -> StreamId {
        StreamId { agent: "a".into(), epoch: Epoch(1) }
    }

    fn frame(seq: u64) -> Frame {
        let key = FrameKey { stream: stream(), seq };
        Frame::new(
            key,
            FrameHash::ROOT,
            TimeRange { start: 0, end: 0 },
            Vec::new(),
            Bytes::from_static(b"1234"),
        )
    }

    fn set(range: std::ops::RangeInclusive<u64>) -> IntervalSet {
        IntervalSet::from_iter([range])
    }

    #[test]
    fn what_was_sent_is_not_sent_again_and_lands_with_its_ack() {
        let mut shipping = Shipping::default();
        shipping.received(&stream(), &set(1..=2));
        assert_eq!(shipping.missing(&stream(), &set(1..=5), None), set(3..=5));
        shipping.sent(&frame(3));
        assert_eq!((shipping.in_flight_bytes(), shipping.lag(&stream(), &set(1..=5))), (4, 5));
        assert_eq!(shipping.acked(&stream(), &set(1..=3)), 1);
        assert_eq!((shipping.in_flight_bytes(), shipping.lag(&stream(), &set(1..=5))), (0, 2));
        assert_eq!(shipping.missing(&stream(), &set(1..=5), None), set(4..=5));
    }

    #[test]
    fn a_fork_ends_what_is_shipped_under_the_old_name() {
        let shipping = Shipping::default();
        assert_eq!(shipping.missing(&stream(), &set(1..=9), Some(4)), set(1..=4));
        assert_eq!(shipping.missing(&stream(), &set(1..=9), Some(0)), IntervalSet::new());
    }

    #[test]
    fn what_is_given_up_frees_the_window() {
        let mut shipping = Shipping::default();
        shipping.sent(&frame(1));
        shipping.give_up(&stream(), &set(1..=1));
        assert_eq!(shipping.in_flight_bytes(), 0);
    }
}
