//! The gRPC service: generated types stay in here.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use proto::v1;
use proto::v1::uplink_server::{Uplink, UplinkServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uplink::wire::{Down, MESSAGE_BYTES_MAX, Up, WireError};

use crate::Receiver;

/// Messages that wait for a slow agent, at most.
const ANSWERS_MAX: usize = 16;

/// What an agent sends on one connection.
pub(crate) struct Incoming(Streaming<v1::Up>);

impl Incoming {
    /// The next message; `None` when the agent hung up.
    pub(crate) async fn next(&mut self) -> Result<Option<Up>, Hangup> {
        match self.0.message().await {
            Ok(Some(message)) => {
                Up::try_from(message).map(Some).map_err(|error: WireError| Hangup::Invalid(error.to_string()))
            }
            Ok(None) => Ok(None),
            Err(status) => Err(Hangup::Lost(status.message().to_owned())),
        }
    }
}

/// Where answers to one connection go.
#[derive(Clone)]
pub(crate) struct Outgoing(mpsc::Sender<Result<v1::Down, Status>>);

impl Outgoing {
    pub(crate) async fn send(&self, answer: Down) -> Result<(), Hangup> {
        self.0.send(Ok(answer.into())).await.map_err(|_| Hangup::Lost("the agent hung up".to_owned()))
    }

    /// Ends the connection with a reason that the agent logs.
    pub(crate) async fn end(&self, why: &Hangup) {
        let status = match why {
            Hangup::Refused(text) => Status::already_exists(text),
            Hangup::Invalid(text) => Status::invalid_argument(text),
            Hangup::Lost(text) => Status::unavailable(text),
        };
        // An agent that is gone needs no reason.
        let _ = self.0.send(Err(status)).await;
    }
}

/// Why a connection ends.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Hangup {
    #[error("{0}")]
    Refused(String),
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    Lost(String),
}

struct Service(Arc<Receiver>);

#[tonic::async_trait]
impl Uplink for Service {
    type ShipStream = Pin<Box<dyn Stream<Item = Result<v1::Down, Status>> + Send>>;

    async fn ship(&self, request: Request<Streaming<v1::Up>>) -> Result<Response<Self::ShipStream>, Status> {
        let address = request
            .remote_addr()
            .map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        let (sender, receiver) = mpsc::channel(ANSWERS_MAX);
        self.0.accept(Incoming(request.into_inner()), Outgoing(sender), address);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl Receiver {
    /// The service to mount on a gRPC server.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> tonic::service::Routes {
        let server = UplinkServer::new(Service(Arc::clone(self)))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        tonic::service::Routes::new(server)
    }
}
