//! The gRPC side: the only file that sees generated types. Bodies are `codec`'s bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use proto::v1::raft_client::RaftClient;
use proto::v1::raft_server::{Raft, RaftServer};
use proto::v1::{RaftAnswer, RaftCall};
use tonic::service::Routes;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Response, Status, Streaming};

use crate::codec;
use crate::node::Node;
use crate::options::MAX_MESSAGE;
use crate::serve;

/// Bytes of a snapshot in one message.
const CHUNK: usize = 1 << 20;

/// What is asked; each is a call of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Append,
    Vote,
    PreVote,
    TransferLeader,
    Propose,
    ReadIndex,
    Remove,
    Handover,
    Probe,
    Join,
    Admit,
    Invite,
}

/// A call's body and whom it is for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Envelope {
    /// None where the caller knows no cluster yet.
    pub(crate) cluster: Option<u128>,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) body: Bytes,
}

/// Why a call has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection: the other side saw nothing.
    #[error("unreachable: {0}")]
    NotSent(String),
    /// It may have been handled.
    #[error("no answer: {0}")]
    Unanswered(String),
    /// No answer in time; it may have been handled.
    #[error("no answer after {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The other side is not whom the call was for, or does not understand it.
    #[error("refused: {0}")]
    Refused(String),
}

/// Why a call is not answered, seen from the other side.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not for this node.
    #[error("{0}")]
    NotForUs(String),
    /// Bytes that say nothing.
    #[error("{0}")]
    Malformed(String),
    /// Consensus does not run here.
    #[error("{0}")]
    Stopped(String),
}

/// Asks one node.
pub(crate) async fn call(
    channel: Channel,
    call: Call,
    envelope: Envelope,
    wait: Duration,
) -> Result<Bytes, CallError> {
    let mut client = client(channel);
    let request = Request::new(to_wire(envelope));
    let answer = async {
        match call {
            Call::Append => client.append(request).await,
            Call::Vote => client.vote(request).await,
            Call::PreVote => client.pre_vote(request).await,
            Call::TransferLeader => client.transfer_leader(request).await,
            Call::Propose => client.propose(request).await,
            Call::ReadIndex => client.read_index(request).await,
            Call::Remove => client.remove(request).await,
            Call::Handover => client.handover(request).await,
            Call::Probe => client.probe(request).await,
            Call::Join => client.join(request).await,
            Call::Admit => client.admit(request).await,
            Call::Invite => client.invite(request).await,
        }
    };
    match tokio::time::timeout(wait, answer).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().body),
        Ok(Err(status)) => Err(from_status(&status)),
        Err(_) => Err(CallError::TimedOut(wait)),
    }
}

/// Sends a snapshot: the envelope's body first, then the image in pieces.
pub(crate) async fn send_snapshot(
    channel: Channel,
    envelope: Envelope,
    image: Bytes,
    wait: Duration,
) -> Result<Bytes, CallError> {
    let pieces = (0..image.len()).step_by(CHUNK).map(move |at| Envelope {
        body: image.slice(at..image.len().min(at + CHUNK)),
        ..Envelope::default()
    });
    let messages = stream::iter(std::iter::once(envelope).chain(pieces).map(to_wire));
    let mut client = client(channel);
    match tokio::time::timeout(wait, client.snapshot(messages)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner().body),
        Ok(Err(status)) => Err(from_status(&status)),
        Err(_) => Err(CallError::TimedOut(wait)),
    }
}

/// Adds the service of `node` to a server's routes.
pub(crate) fn add_to(node: Arc<Node>, mut routes: Routes) -> Routes {
    routes = routes.add_service(server(node));
    routes
}

/// The service of `node` alone.
pub(crate) fn routes(node: Arc<Node>) -> Routes {
    Routes::new(server(node))
}

fn server(node: Arc<Node>) -> RaftServer<Service> {
    RaftServer::new(Service(node))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

fn client(channel: Channel) -> RaftClient<Channel> {
    RaftClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
}

struct Service(Arc<Node>);

impl Service {
    async fn answer(&self, call: Call, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        let envelope = from_wire(request.into_inner())?;
        let body = serve::handle(&self.0, call, envelope).await.map_err(to_status)?;
        Ok(Response::new(RaftAnswer { body }))
    }
}

#[tonic::async_trait]
impl Raft for Service {
    async fn append(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Append, request).await
    }

    async fn vote(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Vote, request).await
    }

    async fn pre_vote(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::PreVote, request).await
    }

    async fn snapshot(&self, request: Request<Streaming<RaftCall>>) -> Result<Response<RaftAnswer>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(|| Status::invalid_argument("no snapshot head"))?;
        let head = from_wire(first)?;
        let pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Refusal>> + Send>> = Box::pin(
            messages.map(|item| item.map(|piece| piece.body).map_err(|s| Refusal::Malformed(s.to_string()))),
        );
        let body = serve::snapshot(&self.0, head, pieces).await.map_err(to_status)?;
        Ok(Response::new(RaftAnswer { body }))
    }

    async fn transfer_leader(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::TransferLeader, request).await
    }

    async fn propose(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Propose, request).await
    }

    async fn read_index(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::ReadIndex, request).await
    }

    async fn remove(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Remove, request).await
    }

    async fn handover(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Handover, request).await
    }

    async fn probe(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Probe, request).await
    }

    async fn join(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Join, request).await
    }

    async fn admit(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Admit, request).await
    }

    async fn invite(&self, request: Request<RaftCall>) -> Result<Response<RaftAnswer>, Status> {
        self.answer(Call::Invite, request).await
    }
}

fn to_wire(envelope: Envelope) -> RaftCall {
    let cluster = envelope.cluster.map(|id| Bytes::copy_from_slice(&id.to_be_bytes())).unwrap_or_default();
    RaftCall { cluster, from: envelope.from, to: envelope.to, body: envelope.body }
}

fn from_wire(call: RaftCall) -> Result<Envelope, Status> {
    let cluster = match call.cluster.len() {
        0 => None,
        _ => Some(
            codec::cluster_id(&call.cluster)
                .ok_or_else(|| Status::invalid_argument("cluster id is not 16 bytes"))?,
        ),
    };
    Ok(Envelope { cluster, from: call.from, to: call.to, body: call.body })
}

fn to_status(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NotForUs(what) => Status::failed_precondition(what),
        Refusal::Malformed(what) => Status::invalid_argument(what),
        Refusal::Stopped(what) => Status::aborted(what),
    }
}

fn from_status(status: &Status) -> CallError {
    let what = status.message().to_owned();
    match status.code() {
        Code::FailedPrecondition | Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange => {
            CallError::Refused(what)
        }
        _ if is_connect(status) => CallError::NotSent(what),
        _ => CallError::Unanswered(what),
    }
}

/// Whether the call failed before a connection stood.
fn is_connect(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
