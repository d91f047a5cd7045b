//! Wire types to the waist's types and back, and the gRPC connection itself.
//!
//! Receivers use the same conversions; nothing outside files of this name sees a generated type.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Labels, Metadata, MetricType};
use prost::Message;
use proto::v1;
use storage::{
    Epoch, Frame, FrameHash, FrameKey, HistogramShape, IntervalSet, Layout, LayoutId, Part, PartError, Slot,
    StreamId, StreamInfo, TimeRange,
};
use tokio::sync::mpsc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::TlsFiles;

/// Version of the protocol that this program speaks.
pub const VERSION: u32 = 1;
/// Bytes of one message, at most, on both sides.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// zstd level of batches: above it CPU grows faster than the wire shrinks.
const ZSTD_LEVEL: i32 = 3;

/// Names for a connection's two ends, so that no generated type is spelled elsewhere.
pub(crate) mod ends {
    /// What goes up.
    pub(crate) type Message = super::v1::Up;
    /// What comes down.
    pub(crate) type Answer = super::v1::Down;
    /// Where it comes from.
    pub(crate) type Incoming = tonic::Streaming<super::v1::Down>;
}

/// Encoded bytes of a message.
pub(crate) fn size(message: &ends::Message) -> u64 {
    message.encoded_len() as u64
}

/// A message could not be understood.
#[derive(Debug, thiserror::Error)]
#[error("invalid message: {0}")]
pub struct WireError(pub String);

/// How an agent introduces itself.
#[derive(Clone, Debug)]
pub struct Hello {
    /// Node name.
    pub agent: String,
    /// Declared when two agents share a name on purpose.
    pub ha_group: Option<String>,
    /// Whether silence means gone rather than down.
    pub ephemeral: bool,
    /// External labels and `agent`.
    pub labels: Labels,
    /// The agent's clock, milliseconds since the Unix epoch.
    pub clock_ms: i64,
    /// The agent's current epoch: tells processes apart.
    pub instance: Epoch,
    /// Streams that the agent keeps frames of.
    pub streams: Vec<StreamInfo>,
    /// The number and hash of the last kept frame of each of these; 0 where none is kept.
    pub last: Vec<(u64, FrameHash)>,
}

/// How a replica answers.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// The replica's node name.
    pub replica: String,
    /// The replica's clock, milliseconds since the Unix epoch.
    pub clock_ms: i64,
    /// What it has of each stream of the hello, in that order.
    pub received: Vec<IntervalSet>,
    /// Each side says something at least this often.
    pub heartbeat: Duration,
}

/// Why a frame was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Damaged or undecodable: never sent again.
    Corrupt,
    /// Another machine continued the stream after this frame.
    Clone {
        /// The last frame in common.
        common: u64,
    },
    /// Not now.
    Unavailable,
}

/// From agent to replica.
#[derive(Debug)]
pub enum Up {
    /// First message of a connection.
    Hello(Hello),
    /// A stream that was not in the hello.
    Stream(StreamInfo),
    /// Layouts that the next frames use.
    Offer(Vec<LayoutId>),
    /// A layout that was asked for.
    Layout(Layout),
    /// Frames in order.
    Frames(Vec<Frame>),
    /// Still here.
    Heartbeat(i64),
}

/// From replica to agent.
#[derive(Debug)]
pub enum Down {
    /// First message of a connection.
    Welcome(Welcome),
    /// Which of the offered layouts to send.
    Need(Vec<LayoutId>),
    /// What survives a power cut.
    Ack(Vec<(StreamId, IntervalSet)>),
    /// A frame that was not taken.
    Nack {
        /// Whose.
        stream: StreamId,
        /// Which.
        seq: u64,
        /// Why.
        refusal: Refusal,
        /// For people.
        what: String,
    },
    /// Still here.
    Heartbeat(i64),
}

/// Opens a stream of messages to a replica. The receiver ends when the connection does.
pub(crate) async fn connect(
    endpoint: &str,
    tls: Option<&TlsFiles>,
    outgoing: mpsc::Receiver<v1::Up>,
) -> Result<tonic::Streaming<v1::Down>, String> {
    let channel = channel(endpoint, tls).await?;
    let mut client = v1::uplink_client::UplinkClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let stream = tokio_stream::wrappers::ReceiverStream::new(outgoing);
    client.ship(stream).await.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

/// A connection to a federation's gRPC listener.
///
/// # Errors
/// A sentence that names the endpoint or the file.
pub async fn channel(endpoint: &str, tls: Option<&TlsFiles>) -> Result<Channel, String> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let mut builder = Endpoint::from_shared(format!("{scheme}://{endpoint}"))
        .map_err(|error| format!("{endpoint}: {error}"))?
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Some(Duration::from_secs(30)))
        .http2_keep_alive_interval(Duration::from_secs(15))
        .keep_alive_timeout(Duration::from_secs(10))
        .keep_alive_while_idle(true);
    if let Some(files) = tls {
        let config = client_tls(files)?;
        builder = builder.tls_config(config).map_err(|error| format!("{endpoint}: {error}"))?;
    }
    builder.connect().await.map_err(|error| format!("{endpoint}: {}", innermost(&error)))
}

fn client_tls(files: &TlsFiles) -> Result<ClientTlsConfig, String> {
    let read =
        |path: &std::path::Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let config = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&files.ca)?))
        .identity(Identity::from_pem(read(&files.cert)?, read(&files.key)?));
    Ok(match &files.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    })
}

/// The cause that says most: transport errors wrap it several times.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl From<Up> for v1::Up {
    fn from(message: Up) -> Self {
        use v1::up::Kind;
        let kind = match message {
            Up::Hello(hello) => Kind::Hello(v1::Hello {
                version: VERSION,
                agent: hello.agent,
                ha_group: hello.ha_group.unwrap_or_default(),
                ephemeral: hello.ephemeral,
                labels: labels_out(&hello.labels),
                clock_ms: hello.clock_ms,
                instance: epoch_out(hello.instance),
                streams: hello.streams.iter().map(info_out).collect(),
                last: hello.last.iter().map(|&(seq, hash)| mark_out(seq, hash)).collect(),
            }),
            Up::Stream(info) => Kind::Stream(info_out(&info)),
            Up::Offer(ids) => Kind::Offer(v1::LayoutOffer { ids: ids_out(&ids) }),
            Up::Layout(layout) => Kind::Layout(layout_out(&layout)),
            Up::Frames(frames) => Kind::Frames(batch_out(&frames)),
            Up::Heartbeat(clock_ms) => Kind::Heartbeat(v1::Heartbeat { clock_ms }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Up> for Up {
    type Error = WireError;

    fn try_from(message: v1::Up) -> Result<Self, WireError> {
        use v1::up::Kind;
        Ok(match message.kind.ok_or_else(|| WireError("an empty message".to_owned()))? {
            Kind::Hello(hello) => Self::Hello(hello_in(hello)?),
            Kind::Stream(info) => Self::Stream(info_in(info)?),
            Kind::Offer(offer) => Self::Offer(ids_in(&offer.ids)?),
            Kind::Layout(layout) => Self::Layout(layout_in(layout)?),
            Kind::Frames(batch) => Self::Frames(batch_in(&batch)?),
            Kind::Heartbeat(beat) => Self::Heartbeat(beat.clock_ms),
        })
    }
}

impl From<Down> for v1::Down {
    fn from(message: Down) -> Self {
        use v1::down::Kind;
        let kind = match message {
            Down::Welcome(welcome) => Kind::Welcome(v1::Welcome {
                replica: welcome.replica,
                clock_ms: welcome.clock_ms,
                received: welcome.received.iter().map(ranges_out).collect(),
                heartbeat_ms: u32::try_from(welcome.heartbeat.as_millis()).unwrap_or(u32::MAX),
            }),
            Down::Need(ids) => Kind::Need(v1::LayoutNeed { ids: ids_out(&ids) }),
            Down::Ack(durable) => Kind::Ack(v1::Ack {
                durable: durable.iter().map(|(stream, set)| stream_ranges_out(stream, set)).collect(),
            }),
            Down::Nack { stream, seq, refusal, what } => {
                let (reason, common) = match refusal {
                    Refusal::Corrupt => (v1::nack::Reason::Corrupt, 0),
                    Refusal::Clone { common } => (v1::nack::Reason::Clone, common),
                    Refusal::Unavailable => (v1::nack::Reason::Unavailable, 0),
                };
                Kind::Nack(v1::Nack {
                    stream: Some(stream_out(&stream)),
                    seq,
                    reason: reason.into(),
                    common,
                    what,
                })
            }
            Down::Heartbeat(clock_ms) => Kind::Heartbeat(v1::Heartbeat { clock_ms }),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<v1::Down> for Down {
    type Error = WireError;

    fn try_from(message: v1::Down) -> Result<Self, WireError> {
        use v1::down::Kind;
        Ok(match message.kind.ok_or_else(|| WireError("an empty message".to_owned()))? {
            Kind::Welcome(welcome) => Self::Welcome(Welcome {
                replica: welcome.replica,
                clock_ms: welcome.clock_ms,
                received: welcome.received.into_iter().map(ranges_in).collect(),
                heartbeat: Duration::from_millis(u64::from(welcome.heartbeat_ms.max(100))),
            }),
            Kind::Need(need) => Self::Need(ids_in(&need.ids)?),
            Kind::Ack(ack) => Self::Ack(
                ack.durable.into_iter().map(stream_ranges_in).collect::<Result<Vec<_>, WireError>>()?,
            ),
            Kind::Nack(nack) => {
                let refusal = match nack.reason() {
                    v1::nack::Reason::Clone => Refusal::Clone { common: nack.common },
                    v1::nack::Reason::Unavailable => Refusal::Unavailable,
                    v1::nack::Reason::Corrupt | v1::nack::Reason::Unspecified => Refusal::Corrupt,
                };
                Self::Nack { stream: stream_in(nack.stream)?, seq: nack.seq, refusal, what: nack.what }
            }
            Kind::Heartbeat(beat) => Self::Heartbeat(beat.clock_ms),
        })
    }
}

fn hello_in(hello: v1::Hello) -> Result<Hello, WireError> {
    if hello.version != VERSION {
        return Err(WireError(format!("protocol version {}, this replica speaks {VERSION}", hello.version)));
    }
    if hello.agent.is_empty() {
        return Err(WireError("a hello without a node name".to_owned()));
    }
    Ok(Hello {
        agent: hello.agent,
        ha_group: Some(hello.ha_group).filter(|group| !group.is_empty()),
        ephemeral: hello.ephemeral,
        labels: labels_in(hello.labels),
        clock_ms: hello.clock_ms,
        instance: Epoch(u128_in(&hello.instance)?),
        streams: hello.streams.into_iter().map(info_in).collect::<Result<Vec<_>, WireError>>()?,
        last: hello.last.iter().map(mark_in).collect::<Result<Vec<_>, WireError>>()?,
    })
}

fn mark_out(seq: u64, hash: FrameHash) -> v1::FrameMark {
    v1::FrameMark { seq, hash: Bytes::copy_from_slice(&hash.0.to_be_bytes()) }
}

fn mark_in(mark: &v1::FrameMark) -> Result<(u64, FrameHash), WireError> {
    Ok((mark.seq, FrameHash(u128_in(&mark.hash)?)))
}

/// Labels for the wire.
#[must_use]
pub fn labels_out(labels: &Labels) -> Vec<v1::Label> {
    labels.pairs().map(|(name, value)| v1::Label { name: name.to_owned(), value: value.to_owned() }).collect()
}

/// Labels from the wire.
#[must_use]
pub fn labels_in(labels: Vec<v1::Label>) -> Labels {
    Labels::from_pairs(labels.into_iter().map(|label| (label.name, label.value)))
}

fn epoch_out(epoch: Epoch) -> Bytes {
    Bytes::copy_from_slice(&epoch.0.to_be_bytes())
}

fn u128_in(bytes: &[u8]) -> Result<u128, WireError> {
    let bytes: [u8; 16] =
        bytes.try_into().map_err(|_| WireError(format!("{} bytes where 16 are due", bytes.len())))?;
    Ok(u128::from_be_bytes(bytes))
}

/// A stream's name for the wire.
#[must_use]
pub fn stream_out(stream: &StreamId) -> v1::StreamId {
    v1::StreamId { agent: stream.agent.to_string(), epoch: epoch_out(stream.epoch) }
}

/// A stream's name from the wire.
///
/// # Errors
/// When it is missing or malformed.
pub fn stream_in(stream: Option<v1::StreamId>) -> Result<StreamId, WireError> {
    let stream = stream.ok_or_else(|| WireError("a stream without a name".to_owned()))?;
    Ok(StreamId { agent: stream.agent.into(), epoch: Epoch(u128_in(&stream.epoch)?) })
}

/// A stream for the wire.
#[must_use]
pub fn info_out(info: &StreamInfo) -> v1::StreamInfo {
    v1::StreamInfo {
        id: Some(stream_out(&info.id)),
        minted_ms: info.minted_ms,
        external: labels_out(&info.external),
    }
}

/// A stream from the wire.
///
/// # Errors
/// When its name is missing or malformed.
pub fn info_in(info: v1::StreamInfo) -> Result<StreamInfo, WireError> {
    Ok(StreamInfo { id: stream_in(info.id)?, minted_ms: info.minted_ms, external: labels_in(info.external) })
}

/// Ranges for the wire.
#[must_use]
pub fn ranges_out(set: &IntervalSet) -> v1::Ranges {
    v1::Ranges {
        ranges: set.ranges().map(|range| v1::Range { first: *range.start(), last: *range.end() }).collect(),
    }
}

/// Ranges from the wire.
#[must_use]
pub fn ranges_in(ranges: v1::Ranges) -> IntervalSet {
    IntervalSet::from_iter(ranges.ranges.into_iter().map(|range| range.first..=range.last))
}

/// A stream's ranges for the wire.
#[must_use]
pub fn stream_ranges_out(stream: &StreamId, set: &IntervalSet) -> v1::StreamRanges {
    v1::StreamRanges { stream: Some(stream_out(stream)), ranges: Some(ranges_out(set)) }
}

/// A stream's ranges from the wire.
///
/// # Errors
/// When the stream's name is missing or malformed.
pub fn stream_ranges_in(ranges: v1::StreamRanges) -> Result<(StreamId, IntervalSet), WireError> {
    Ok((stream_in(ranges.stream)?, ranges_in(ranges.ranges.unwrap_or_default())))
}

fn ids_out(ids: &[LayoutId]) -> Vec<Bytes> {
    ids.iter().map(|id| Bytes::copy_from_slice(&id.0.to_be_bytes())).collect()
}

fn ids_in(ids: &[Bytes]) -> Result<Vec<LayoutId>, WireError> {
    ids.iter().map(|id| u128_in(id).map(LayoutId)).collect()
}

/// A layout for the wire.
#[must_use]
pub fn layout_out(layout: &Layout) -> v1::Layout {
    let slot = |slot: &Slot| {
        let part = slot.part.as_deref().map(part_out);
        if !slot.begins_series() {
            return v1::Slot { part, ..v1::Slot::default() };
        }
        v1::Slot {
            labels: labels_out(&slot.labels),
            metric_type: slot.metadata.metric_type.as_str().to_owned(),
            unit: slot.metadata.unit.to_string(),
            help: slot.metadata.help.to_string(),
            part,
        }
    };
    v1::Layout { target: labels_out(layout.target()), slots: layout.slots().iter().map(slot).collect() }
}

/// A layout from the wire.
///
/// # Errors
/// When it breaks a layout's rules.
pub fn layout_in(layout: v1::Layout) -> Result<Layout, WireError> {
    let mut slots: Vec<Slot> = Vec::with_capacity(layout.slots.len());
    for slot in layout.slots {
        let part = slot.part.map(part_in).transpose()?.map(Arc::new);
        let slot = match (&part, slots.last()) {
            (Some(further), Some(before)) if !further.is_first() => Slot { part, ..before.clone() },
            _ => Slot {
                labels: labels_in(slot.labels),
                metadata: Arc::new(Metadata {
                    metric_type: metric_type_in(&slot.metric_type),
                    unit: slot.unit.into(),
                    help: slot.help.into(),
                }),
                part,
            },
        };
        slots.push(slot);
    }
    Layout::new(labels_in(layout.target), slots).map_err(|error| WireError(error.to_string()))
}

fn part_out(part: &Part) -> v1::Part {
    let (code, index) = part.code();
    let mut out = v1::Part { code: code.into(), index, ..v1::Part::default() };
    if let Part::Sum(shape) = part {
        let (integer, schema, bounds) = shape.numbers();
        (out.integer, out.schema, out.bounds) = (integer, schema, bounds.to_vec());
    }
    out
}

fn part_in(part: v1::Part) -> Result<Part, WireError> {
    let wrong = |error: PartError| WireError(error.to_string());
    if part.code == 0 {
        let shape = HistogramShape::from_numbers(part.integer, part.schema, part.bounds).map_err(wrong)?;
        return Ok(Part::Sum(Arc::new(shape)));
    }
    let code = u8::try_from(part.code).map_err(|_| wrong(PartError("an unknown part of a histogram")))?;
    Part::from_code(code, part.index).map_err(wrong)
}

fn metric_type_in(text: &str) -> MetricType {
    use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary};
    [Counter, Gauge, Histogram, GaugeHistogram, Summary, Info, StateSet]
        .into_iter()
        .find(|metric_type| metric_type.as_str() == text)
        .unwrap_or_default()
}

/// Frames for the wire, compressed together.
#[must_use]
pub fn batch_out(frames: &[Frame]) -> v1::FrameBatch {
    let message = v1::Frames { frames: frames.iter().map(frame_out).collect() }.encode_to_vec();
    let size = u32::try_from(message.len()).unwrap_or(u32::MAX);
    // Compression into memory fails only for a level that zstd does not know.
    let zstd = zstd::bulk::compress(&message, ZSTD_LEVEL).unwrap_or_default();
    v1::FrameBatch { zstd: zstd.into(), size }
}

/// Frames from the wire, each checked against its own hash.
///
/// # Errors
/// When the batch is over the limit, cannot be decompressed, or holds a damaged frame.
pub fn batch_in(batch: &v1::FrameBatch) -> Result<Vec<Frame>, WireError> {
    let size = batch.size as usize;
    if size > MESSAGE_BYTES_MAX {
        return Err(WireError(format!("a batch of {size} bytes, at most {MESSAGE_BYTES_MAX}")));
    }
    let message =
        zstd::bulk::decompress(&batch.zstd, size).map_err(|error| WireError(format!("a batch: {error}")))?;
    let frames =
        v1::Frames::decode(Bytes::from(message)).map_err(|error| WireError(format!("a batch: {error}")))?;
    frames.frames.into_iter().map(frame_in).collect()
}

fn frame_out(frame: &Frame) -> v1::Frame {
    v1::Frame {
        stream: Some(stream_out(&frame.key().stream)),
        seq: frame.key().seq,
        prev: Bytes::copy_from_slice(&frame.prev().0.to_be_bytes()),
        hash: Bytes::copy_from_slice(&frame.hash().0.to_be_bytes()),
        start_ms: frame.range().start,
        end_ms: frame.range().end,
        layouts: ids_out(frame.layouts()),
        body: frame.body().clone(),
    }
}

fn frame_in(frame: v1::Frame) -> Result<Frame, WireError> {
    let key = FrameKey { stream: stream_in(frame.stream)?, seq: frame.seq };
    let range = TimeRange { start: frame.start_ms, end: frame.end_ms };
    let (prev, hash) = (FrameHash(u128_in(&frame.prev)?), FrameHash(u128_in(&frame.hash)?));
    Frame::received(key, prev, hash, range, ids_in(&frame.layouts)?, frame.body)
        .map_err(|error| WireError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(seq: u64) -> Frame {
        let stream = StreamId { agent: "host".into(), epoch: Epoch(9) };
        let body = Bytes::from(vec![7; 100]);
        Frame::new(
            FrameKey { stream, seq },
            FrameHash(1),
            TimeRange { start: -5, end: 5 },
            vec![LayoutId(2)],
            body,
        )
    }

    #[test]
    fn frames_cross_the_wire_unchanged() {
        let sent = vec![frame(1), frame(2)];
        assert_eq!(batch_in(&batch_out(&sent)).expect("whole"), sent);
    }

    #[test]
    fn damaged_batches_are_refused() {
        let mut batch = batch_out(&[frame(1)]);
        batch.size = u32::MAX;
        assert!(batch_in(&batch).is_err(), "a bomb");
        let mut batch = batch_out(&[frame(1)]);
        batch.zstd = batch.zstd.slice(..batch.zstd.len() / 2);
        assert!(batch_in(&batch).is_err(), "cut");
        let mut wrong = frame_out(&frame(1));
        wrong.body = Bytes::from_static(b"other");
        assert!(frame_in(wrong).is_err(), "another body under the same hash");
    }

    #[test]
    fn layouts_and_streams_cross_the_wire_unchanged() {
        let slot = Slot {
            labels: Labels::from_pairs([("__name__", "a_total")]),
            metadata: Arc::new(Metadata {
                metric_type: MetricType::Counter,
                unit: "".into(),
                help: "h".into(),
            }),
            part: None,
        };
        let shape = HistogramShape::from_numbers(false, -53, vec![-0.5, 2.0]).expect("valid");
        let parts = [Part::Sum(shape.into()), Part::Hint, Part::from_code(6, -3).expect("a bucket")];
        let labels = Labels::from_pairs([("__name__", "h")]);
        let part = |part| Slot { labels: labels.clone(), part: Some(Arc::new(part)), ..slot.clone() };
        let starts = Slot { part: Some(Arc::new(Part::Start)), ..slot.clone() };
        let slots = [slot.clone(), starts].into_iter().chain(parts.map(part)).collect();
        let layout = Layout::new(Labels::from_pairs([("job", "n")]), slots).expect("valid");
        assert_eq!(layout_in(layout_out(&layout)).expect("valid"), layout);
        let id = StreamId { agent: "host".into(), epoch: Epoch(u128::MAX) };
        let info = StreamInfo { id, minted_ms: 3, external: Labels::from_pairs([("agent", "host")]) };
        assert_eq!(info_in(info_out(&info)).expect("valid"), info);
    }
}
