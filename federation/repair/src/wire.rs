//! The pair's calls, both sides: generated types stay in here.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use model::Labels;
use proto::v1;
use proto::v1::pair_client::PairClient;
use proto::v1::pair_server::{Pair as PairService, PairServer};
use storage::{Frame, FrameHash, IntervalSet, Layout, LayoutId, StreamId, StreamInfo};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use uplink::TlsFiles;
use uplink::wire as up;

use crate::digest::{Digest, ENDS_MAX, StreamDigest, silence_ms};
use crate::view::AgentHeard;
use crate::windows::wire::{send_copy, send_windows};
use crate::{Pair, Store};

/// Bytes of frame bodies in one part, about.
const PART_BYTES: usize = 1 << 20;
/// Parts that wait for a slow twin, at most.
const PARTS_MAX: usize = 4;

/// A connection to the twin.
pub(crate) struct Twin(PairClient<Channel>);

/// One piece of a pull's answer.
pub(crate) enum Part {
    Stream(StreamInfo),
    Layout(Layout),
    Frames(Vec<Frame>),
    Gone(IntervalSet),
}

/// A pull's answer.
pub(crate) struct Parts(Streaming<v1::PairPart>);

impl Twin {
    pub(crate) fn client(&mut self) -> &mut PairClient<Channel> {
        &mut self.0
    }

    pub(crate) async fn connect(endpoint: &str, tls: Option<&TlsFiles>) -> Result<Self, String> {
        let client = PairClient::new(up::channel(endpoint, tls).await?)
            .max_decoding_message_size(up::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(up::MESSAGE_BYTES_MAX);
        Ok(Self(client))
    }

    pub(crate) async fn digest(&mut self, ours: &Digest) -> Result<Digest, String> {
        let answer = self.0.digest(digest_out(ours)).await.map_err(|status| status.message().to_owned())?;
        digest_in(answer.into_inner())
    }

    pub(crate) async fn pull(&mut self, stream: &StreamId, ranges: &IntervalSet) -> Result<Parts, String> {
        let pull =
            v1::PairPull { stream: Some(up::stream_out(stream)), ranges: Some(up::ranges_out(ranges)) };
        self.0
            .pull(pull)
            .await
            .map(|answer| Parts(answer.into_inner()))
            .map_err(|status| status.message().to_owned())
    }
}

impl Parts {
    pub(crate) async fn next(&mut self) -> Result<Option<Part>, String> {
        use v1::pair_part::Kind;
        let Some(part) = self.0.message().await.map_err(|status| status.message().to_owned())? else {
            return Ok(None);
        };
        let text = |error: up::WireError| error.to_string();
        Ok(Some(match part.kind.ok_or("an empty part")? {
            Kind::Stream(info) => Part::Stream(up::info_in(info).map_err(text)?),
            Kind::Layout(layout) => Part::Layout(up::layout_in(layout).map_err(text)?),
            Kind::Frames(batch) => Part::Frames(up::batch_in(&batch).map_err(text)?),
            Kind::Gone(gone) => Part::Gone(up::ranges_in(gone)),
        }))
    }
}

struct Service(Arc<Pair>);

#[tonic::async_trait]
impl PairService for Service {
    async fn digest(&self, request: Request<v1::PairDigest>) -> Result<Response<v1::PairDigest>, Status> {
        let theirs = digest_in(request.into_inner()).map_err(Status::invalid_argument)?;
        self.0.heard(&theirs).map_err(Status::failed_precondition)?;
        Ok(Response::new(digest_out(&self.0.digest())))
    }

    type PullStream = Pin<Box<dyn Stream<Item = Result<v1::PairPart, Status>> + Send>>;

    async fn pull(&self, request: Request<v1::PairPull>) -> Result<Response<Self::PullStream>, Status> {
        let pull = request.into_inner();
        let stream =
            up::stream_in(pull.stream).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let ranges = up::ranges_in(pull.ranges.unwrap_or_default());
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        self.0.answer_pull(stream, ranges, sender);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type WindowsStream = Pin<Box<dyn Stream<Item = Result<v1::PairWindow, Status>> + Send>>;

    async fn windows(
        &self,
        request: Request<v1::PairWindows>,
    ) -> Result<Response<Self::WindowsStream>, Status> {
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        let (store, ask) = (Arc::clone(&self.0.store), request.into_inner());
        self.0.tasks.spawn_blocking(move || send_windows(&*store, ask, &sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type DeletionsStream = Pin<Box<dyn Stream<Item = Result<v1::PairDeletion, Status>> + Send>>;

    async fn deletions(
        &self,
        _: Request<v1::PairDeletions>,
    ) -> Result<Response<Self::DeletionsStream>, Status> {
        let all = self.0.store.deletions().into_iter();
        let all = all.map(|deletion| Ok(v1::PairDeletion { deletion: deletion.into() }));
        Ok(Response::new(Box::pin(tokio_stream::iter(all))))
    }

    type CopyStream = Pin<Box<dyn Stream<Item = Result<v1::PairCopied, Status>> + Send>>;

    async fn copy(&self, request: Request<v1::PairCopy>) -> Result<Response<Self::CopyStream>, Status> {
        let (sender, receiver) = mpsc::channel(PARTS_MAX);
        let (store, tasks, ask) = (Arc::clone(&self.0.store), self.0.tasks.clone(), request.into_inner());
        self.0.tasks.spawn_blocking(move || send_copy(&*store, ask, &sender, &|| tasks.is_stopping()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

type PartSender = mpsc::Sender<Result<v1::PairPart, Status>>;

impl Pair {
    /// The service to mount on a gRPC server.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> tonic::service::Routes {
        let server = PairServer::new(Service(Arc::clone(self)))
            .max_decoding_message_size(up::MESSAGE_BYTES_MAX)
            .max_encoding_message_size(up::MESSAGE_BYTES_MAX);
        tonic::service::Routes::new(server)
    }

    fn answer_pull(&self, stream: StreamId, ranges: IntervalSet, sender: PartSender) {
        let store = Arc::clone(&self.store);
        self.tasks.spawn(async move {
            if let Err(status) = send_parts(&*store, &stream, &ranges, &sender).await {
                // A twin that is gone needs no reason.
                let _ = sender.send(Err(status)).await;
            }
        });
    }
}

async fn send_parts(
    store: &dyn Store,
    stream: &StreamId,
    ranges: &IntervalSet,
    sender: &PartSender,
) -> Result<(), Status> {
    use v1::pair_part::Kind;
    let mut layouts: HashSet<LayoutId> = HashSet::new();
    let held = store.held(stream);
    let gone = ranges.difference(&held);
    if !gone.is_empty() {
        send(sender, Kind::Gone(up::ranges_out(&gone))).await?;
    }
    let mut left = ranges.difference(&gone);
    while let Some(first) = left.first() {
        let mut frames = store
            .frames(stream, first, PART_BYTES)
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let Some(last) = frames.last().map(|frame| frame.key().seq) else { break };
        frames.retain(|frame| left.contains(frame.key().seq));
        for id in frames.iter().flat_map(Frame::layouts) {
            if let Some(layout) = store.find_layout(*id).filter(|_| layouts.insert(*id)) {
                send(sender, Kind::Layout(up::layout_out(&layout))).await?;
            }
        }
        if !frames.is_empty() {
            send(sender, Kind::Frames(up::batch_out(&frames))).await?;
        }
        left = left.difference(&IntervalSet::from_iter([0..=last]));
    }
    Ok(())
}

async fn send(sender: &PartSender, kind: v1::pair_part::Kind) -> Result<(), Status> {
    let part = v1::PairPart { kind: Some(kind) };
    sender.send(Ok(part)).await.map_err(|_| Status::cancelled("the twin hung up"))
}

fn digest_out(digest: &Digest) -> v1::PairDigest {
    v1::PairDigest {
        replica: digest.replica.clone(),
        clock_ms: digest.clock_ms,
        streams: digest.streams.iter().map(stream_out).collect(),
        agents: digest.agents.iter().map(agent_out).collect(),
        config_hash: digest.config_hash.to_be_bytes().to_vec().into(),
        floor_ms: digest.floor_ms,
        windows_version: digest.windows_version,
        deletions_version: digest.deletions_version,
    }
}

fn digest_in(digest: v1::PairDigest) -> Result<Digest, String> {
    Ok(Digest {
        replica: digest.replica,
        clock_ms: digest.clock_ms,
        streams: digest.streams.into_iter().map(stream_in).collect::<Result<_, _>>()?,
        agents: digest.agents.into_iter().map(agent_in).collect(),
        config_hash: u128_in(&digest.config_hash)?,
        floor_ms: digest.floor_ms,
        windows_version: digest.windows_version,
        deletions_version: digest.deletions_version,
    })
}

fn stream_out(stream: &StreamDigest) -> v1::StreamDigest {
    v1::StreamDigest {
        info: Some(up::info_out(&stream.info)),
        received: Some(up::ranges_out(&stream.received)),
        held: Some(up::ranges_out(&stream.held)),
        last_hash: hash_out(last_hash(stream)),
        ends: stream
            .ends
            .iter()
            .map(|(seq, hash)| v1::RangeEnd { seq: *seq, hash: hash_out(*hash) })
            .collect(),
    }
}

/// What a twin of before compares.
fn last_hash(stream: &StreamDigest) -> FrameHash {
    let last = stream.ends.first().filter(|(seq, _)| Some(*seq) == stream.held.last());
    last.map_or(FrameHash::ROOT, |(_, hash)| *hash)
}

fn hash_out<B: From<Vec<u8>>>(hash: FrameHash) -> B {
    hash.0.to_be_bytes().to_vec().into()
}

/// The ends that are told; a twin of before tells the last one alone.
fn ends_in(
    ends: Vec<v1::RangeEnd>,
    last: &[u8],
    held: &IntervalSet,
) -> Result<Vec<(u64, FrameHash)>, String> {
    let end = |mark: v1::RangeEnd| Ok::<_, String>((mark.seq, FrameHash(u128_in(&mark.hash)?)));
    if !ends.is_empty() {
        return ends.into_iter().take(ENDS_MAX).map(end).collect();
    }
    let last = FrameHash(u128_in(last)?);
    Ok(held.last().filter(|_| last != FrameHash::ROOT).map(|seq| (seq, last)).into_iter().collect())
}

fn stream_in(stream: v1::StreamDigest) -> Result<StreamDigest, String> {
    let info = up::info_in(stream.info.unwrap_or_default()).map_err(|error| error.to_string())?;
    let held = up::ranges_in(stream.held.unwrap_or_default());
    let ends = ends_in(stream.ends, &stream.last_hash, &held)?;
    Ok(StreamDigest { info, received: up::ranges_in(stream.received.unwrap_or_default()), held, ends })
}

fn agent_out(agent: &AgentHeard) -> v1::AgentHeard {
    v1::AgentHeard {
        agent: agent.name.clone(),
        silent_ms: silence_ms(agent.silent_for),
        labels: up::labels_out(&agent.labels),
        ephemeral: agent.ephemeral,
        forgotten: agent.forgotten,
    }
}

fn agent_in(agent: v1::AgentHeard) -> AgentHeard {
    let labels: Labels = up::labels_in(agent.labels);
    let silent_for = (agent.silent_ms != u64::MAX).then(|| std::time::Duration::from_millis(agent.silent_ms));
    AgentHeard {
        name: agent.agent,
        labels,
        ephemeral: agent.ephemeral,
        silent_for,
        forgotten: agent.forgotten,
    }
}

pub(crate) fn u128_in(bytes: &[u8]) -> Result<u128, String> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| format!("{} bytes where 16 are due", bytes.len()))?;
    Ok(u128::from_be_bytes(bytes))
}
