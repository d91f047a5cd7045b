//! What the log's records hold (FORMAT.md): streams, layouts, frames, checkpoints, adoptions, gaps.

use std::sync::Arc;

use bytes::Bytes;
use model::{Exemplar, Labels};
use storage::{
    Epoch, Frame, FrameHash, FrameKey, Gap, IntervalSet, LayoutId, StreamId, StreamInfo, TimeRange,
};

use crate::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};

pub(crate) const STREAM: u8 = 1;
pub(crate) const LAYOUT: u8 = 2;
pub(crate) const FRAME: u8 = 3;
pub(crate) const CHECKPOINT: u8 = 4;
pub(crate) const ADOPT: u8 = 5;
pub(crate) const GAP: u8 = 6;
pub(crate) const EXEMPLARS: u8 = 7;
pub(crate) const KEPT: u8 = 8;
pub(crate) const HELD: u8 = 9;
pub(crate) const LIKE: u8 = 10;

/// What a checkpoint says of one stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamMark {
    pub(crate) info: StreamInfo,
    pub(crate) received: IntervalSet,
    /// Time of the newest row ever received.
    pub(crate) newest: i64,
}

/// A frame's record without its body: what an index needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) key: FrameKey,
    pub(crate) prev: FrameHash,
    pub(crate) hash: FrameHash,
    pub(crate) range: TimeRange,
    pub(crate) layouts: Vec<LayoutId>,
    pub(crate) body_at: usize,
}

pub(crate) fn put_stream(info: &StreamInfo) -> Vec<u8> {
    let mut out = Vec::new();
    put_info(&mut out, info);
    out
}

pub(crate) fn stream(payload: &[u8]) -> Result<StreamInfo, Malformed> {
    whole(payload, info)
}

pub(crate) fn put_frame(frame: &Frame) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.body().len() + 128);
    put_id(&mut out, &frame.key().stream);
    put_varint(&mut out, frame.key().seq);
    out.extend_from_slice(&frame.prev().0.to_le_bytes());
    out.extend_from_slice(&frame.hash().0.to_le_bytes());
    put_zigzag(&mut out, frame.range().start);
    put_zigzag(&mut out, frame.range().end);
    put_varint(&mut out, frame.layouts().len() as u64);
    for layout in frame.layouts() {
        out.extend_from_slice(&layout.0.to_le_bytes());
    }
    out.extend_from_slice(frame.body());
    out
}

pub(crate) fn frame_head(payload: &[u8]) -> Result<FrameHead, Malformed> {
    let mut reader = Reader::new(payload);
    let stream = id(&mut reader)?;
    let seq = reader.varint()?;
    let (prev, hash) = (FrameHash(reader.u128_le()?), FrameHash(reader.u128_le()?));
    let range = TimeRange { start: reader.zigzag()?, end: reader.zigzag()? };
    let mut layouts = Vec::new();
    for _ in 0..reader.count()? {
        layouts.push(LayoutId(reader.u128_le()?));
    }
    let body_at = payload.len() - reader.rest().len();
    Ok(FrameHead { key: FrameKey { stream, seq }, prev, hash, range, layouts, body_at })
}

/// The whole frame, its hash verified.
pub(crate) fn frame(payload: Vec<u8>) -> Result<Frame, Malformed> {
    let head = frame_head(&payload)?;
    let body = Bytes::from(payload).slice(head.body_at..);
    Frame::received(head.key, head.prev, head.hash, head.range, head.layouts, body)
        .map_err(|_| Malformed("the frame's hash does not match"))
}

pub(crate) fn put_checkpoint(marks: &[StreamMark]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, marks.len() as u64);
    for mark in marks {
        put_info(&mut out, &mark.info);
        put_set(&mut out, &mark.received);
        put_zigzag(&mut out, mark.newest);
    }
    out
}

pub(crate) fn checkpoint(payload: &[u8]) -> Result<Vec<StreamMark>, Malformed> {
    whole(payload, |reader| {
        let mut marks = Vec::new();
        for _ in 0..reader.count()? {
            marks.push(StreamMark { info: info(reader)?, received: set(reader)?, newest: reader.zigzag()? });
        }
        Ok(marks)
    })
}

/// What is there after segments were dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Numbers of the segments that stay.
    pub(crate) segments: IntervalSet,
    /// Sealed windows: start, and number of the newest generation.
    pub(crate) windows: Vec<(i64, u64)>,
}

pub(crate) fn put_kept(kept: &Kept) -> Vec<u8> {
    let mut out = Vec::new();
    put_set(&mut out, &kept.segments);
    put_varint(&mut out, kept.windows.len() as u64);
    for &(start, newest) in &kept.windows {
        put_zigzag(&mut out, start);
        put_varint(&mut out, newest);
    }
    out
}

pub(crate) fn kept(payload: &[u8]) -> Result<Kept, Malformed> {
    whole(payload, |reader| {
        let segments = set(reader)?;
        let mut windows = Vec::new();
        for _ in 0..reader.count()? {
            windows.push((reader.zigzag()?, reader.varint()?));
        }
        Ok(Kept { segments, windows })
    })
}

/// The frames of each stream that the segments hold which stay.
pub(crate) type Held = Vec<(StreamId, IntervalSet)>;

pub(crate) fn put_held(held: &Held) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, held.len() as u64);
    for (stream, frames) in held {
        put_id(&mut out, stream);
        put_set(&mut out, frames);
    }
    out
}

pub(crate) fn held(payload: &[u8]) -> Result<Held, Malformed> {
    whole(payload, |reader| {
        let mut held = Held::new();
        for _ in 0..reader.count()? {
            held.push((id(reader)?, set(reader)?));
        }
        Ok(held)
    })
}

pub(crate) fn put_adopt(stream: &StreamId, gone: &IntervalSet) -> Vec<u8> {
    let mut out = Vec::new();
    put_id(&mut out, stream);
    put_set(&mut out, gone);
    out
}

pub(crate) fn adopt(payload: &[u8]) -> Result<(StreamId, IntervalSet), Malformed> {
    whole(payload, |reader| Ok((id(reader)?, set(reader)?)))
}

pub(crate) fn put_gap(gap: &Gap) -> Vec<u8> {
    let mut out = Vec::new();
    put_zigzag(&mut out, gap.start);
    put_zigzag(&mut out, gap.end);
    put_text(&mut out, &gap.why);
    out
}

pub(crate) fn gap(payload: &[u8]) -> Result<Gap, Malformed> {
    whole(payload, |reader| {
        Ok(Gap { start: reader.zigzag()?, end: reader.zigzag()?, why: reader.text()?.to_owned() })
    })
}

/// Adds a series' exemplars to a record; those without a time are left out.
pub(crate) fn put_exemplars(out: &mut Vec<u8>, series: &Labels, exemplars: &[Exemplar]) {
    put_labels(out, series);
    let timed = || exemplars.iter().filter_map(|exemplar| Some((exemplar.timestamp?, exemplar)));
    put_varint(out, timed().count() as u64);
    for (timestamp, exemplar) in timed() {
        put_zigzag(out, timestamp);
        out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        put_labels(out, &exemplar.labels);
    }
}

/// Series and their exemplars, in the order in which they were taken.
pub(crate) fn exemplars(payload: &[u8]) -> Result<Vec<(Labels, Vec<Exemplar>)>, Malformed> {
    let mut reader = Reader::new(payload);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let series = labels(&mut reader)?;
        let mut exemplars = Vec::new();
        for _ in 0..reader.count()? {
            let timestamp = Some(reader.zigzag()?);
            let value = f64::from_bits(reader.u64_le()?);
            exemplars.push(Exemplar { labels: labels(&mut reader)?, value, timestamp });
        }
        all.push((series, exemplars));
    }
    Ok(all)
}

/// Reads a payload to its last byte.
pub(crate) fn whole<T>(
    payload: &[u8],
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut reader = Reader::new(payload);
    let value = read(&mut reader)?;
    if reader.is_empty() { Ok(value) } else { Err(Malformed("bytes after the end of the record")) }
}

pub(crate) fn put_id(out: &mut Vec<u8>, id: &StreamId) {
    put_text(out, &id.agent);
    out.extend_from_slice(&id.epoch.0.to_le_bytes());
}

pub(crate) fn id(reader: &mut Reader<'_>) -> Result<StreamId, Malformed> {
    let agent = Arc::from(reader.text()?);
    Ok(StreamId { agent, epoch: Epoch(reader.u128_le()?) })
}

fn put_info(out: &mut Vec<u8>, info: &StreamInfo) {
    put_id(out, &info.id);
    put_zigzag(out, info.minted_ms);
    put_labels(out, &info.external);
}

fn info(reader: &mut Reader<'_>) -> Result<StreamInfo, Malformed> {
    Ok(StreamInfo { id: id(reader)?, minted_ms: reader.zigzag()?, external: labels(reader)? })
}

pub(crate) fn put_labels(out: &mut Vec<u8>, labels: &Labels) {
    put_varint(out, labels.len() as u64);
    for (name, value) in labels.pairs() {
        put_text(out, name);
        put_text(out, value);
    }
}

pub(crate) fn labels(reader: &mut Reader<'_>) -> Result<Labels, Malformed> {
    let mut pairs = Vec::new();
    for _ in 0..reader.count()? {
        pairs.push((reader.text()?, reader.text()?));
    }
    Ok(Labels::from_pairs(pairs))
}

/// First, then length, then the holes and lengths that follow: small numbers in practice.
pub(crate) fn put_set(out: &mut Vec<u8>, set: &IntervalSet) {
    put_varint(out, set.ranges().count() as u64);
    let mut after = 0;
    for range in set.ranges() {
        put_varint(out, range.start() - after);
        put_varint(out, range.end() - range.start());
        after = *range.end();
    }
}

pub(crate) fn set(reader: &mut Reader<'_>) -> Result<IntervalSet, Malformed> {
    let mut set = IntervalSet::new();
    let mut after = 0u64;
    for _ in 0..reader.count()? {
        let start = after.checked_add(reader.varint()?).ok_or(Malformed("a range out of range"))?;
        after = start.checked_add(reader.varint()?).ok_or(Malformed("a range out of range"))?;
        set.insert_range(start..=after);
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use model::{Metadata, MetricType};
    use storage::{Layout, Slot};

    use super::*;
    use crate::record_layout::{layout, put_layout};

    fn sample_info() -> StreamInfo {
        StreamInfo {
            id: StreamId { agent: "host-1".into(), epoch: Epoch(u128::MAX - 5) },
            minted_ms: -3,
            external: Labels::from_pairs([("site", "x"), ("agent", "host-1")]),
        }
    }

    fn id_labels() -> Labels {
        Labels::from_pairs([("trace_id", "a1")])
    }

    #[test]
    fn every_record_comes_back() {
        let metadata = Metadata { metric_type: MetricType::Gauge, unit: "s".into(), help: "é".into() };
        let slot = Slot::new(Labels::from_pairs([("__name__", "a")]), metadata);
        let sample = Layout::new(Labels::from_pairs([("job", "n")]), vec![slot]).expect("valid");
        assert_eq!(layout(&put_layout(&sample)), Ok(sample.clone()));
        assert_eq!(stream(&put_stream(&sample_info())), Ok(sample_info()));
        let received = IntervalSet::from_iter([0..=0, 5..=9, u64::MAX..=u64::MAX]);
        let mark = StreamMark { info: sample_info(), received: received.clone(), newest: 77 };
        assert_eq!(checkpoint(&put_checkpoint(std::slice::from_ref(&mark))), Ok(vec![mark]));
        let id = sample_info().id;
        let held: Held = vec![(id.clone(), received.clone()), (id.clone(), IntervalSet::new())];
        assert_eq!(super::held(&put_held(&held)), Ok(held));
        assert_eq!(adopt(&put_adopt(&id, &received)), Ok((id.clone(), received)));
        let lost = Gap { start: 1, end: 2, why: "budget".into() };
        assert_eq!(gap(&put_gap(&lost)), Ok(lost));
        let one = |value| Exemplar { labels: id_labels(), value, timestamp: Some(-7) };
        let (mut record, first) = (Vec::new(), vec![one(1.5), one(f64::NAN)]);
        put_exemplars(&mut record, &id_labels(), &first);
        put_exemplars(&mut record, &Labels::empty(), &[one(-0.0)]);
        assert_eq!(exemplars(&record), Ok(vec![(id_labels(), first), (Labels::empty(), vec![one(-0.0)])]));
        let sent = Frame::new(
            FrameKey { stream: id, seq: 3 },
            FrameHash(9),
            TimeRange { start: -1, end: 8 },
            vec![sample.id()],
            Bytes::from_static(b"rows"),
        );
        assert_eq!(frame(put_frame(&sent)), Ok(sent));
    }

    proptest! {
        #[test]
        fn random_payloads_never_panic(payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (stream(&payload), layout(&payload), checkpoint(&payload), adopt(&payload), gap(&payload));
            let _ = exemplars(&payload);
            let _ = frame(payload);
        }
    }
}
