//! A session: the same request again and again to one place, over a connection of its own.
//!
//! What a general client does for every request is done once here: the request's bytes are ready, the answer is
//! read into the caller's buffer in large pieces and its body stays where it came in, with TLS as without. Where
//! more is asked for (a proxy, a redirect, HTTP/2 alone), the request goes through [`Client`], with the same result.

mod answer;
mod chunks;
mod head;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode, Uri};

use crate::client::{Client, Head, Limits, REDIRECTS_MAX, within};
use crate::error::ClientError;
use crate::hop::Hop;
use crate::link::Link;
use crate::session::answer::{Exchange, Received};

/// Sends one request again and again. Its connection is kept between requests.
#[derive(Debug)]
pub struct Session {
    client: Client,
    /// Whether a connection is used again.
    keep: bool,
    prepared: Option<Prepared>,
    /// The place answered with a redirect once, or speaks HTTP/2 alone: [`Client`] sends the requests since.
    elsewhere: bool,
    idle: Option<Link>,
    /// Bytes of the last whole answer.
    usual: usize,
}

/// A request as it is sent.
#[derive(Debug)]
struct Prepared {
    uri: Uri,
    bytes: Vec<u8>,
}

/// A whole answer of any status; its body is in the caller's buffer.
#[derive(Debug)]
pub struct Answer<'b> {
    /// The status.
    pub status: StatusCode,
    /// The value of the header `Content-Type`, empty where there is none.
    pub content_type: Cow<'b, [u8]>,
    /// The value of the header `Content-Encoding`, empty where there is none.
    pub content_encoding: Cow<'b, [u8]>,
    /// The body as it came, still encoded where `content_encoding` says so.
    pub body: &'b [u8],
}

/// Where an answer came from.
enum Outcome {
    Here(Received),
    Elsewhere(Head),
}

impl Session {
    /// `keep`: whether the connection is used again. Where requests are more than some minutes apart, one that
    /// a router between has forgotten would cost a timeout.
    #[must_use]
    pub fn new(client: &Client, keep: bool) -> Self {
        Self { client: client.clone(), keep, prepared: None, elsewhere: false, idle: None, usual: 0 }
    }

    /// Sends the request, a `GET` without a body, and waits for the whole answer. `request` must make the same
    /// one each time; it is asked where its bytes are not ready. What the buffer held goes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get<'b>(
        &mut self,
        request: impl Fn() -> Request<Bytes>,
        limits: Limits,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Answer<'b>, ClientError> {
        self.prepare(&request)?;
        let Some(prepared) = &self.prepared else {
            // Boxed: the state of a general request is large, and need not be moved about by those of here.
            let head = Box::pin(self.client.send_into(request(), limits, buffer)).await?;
            return Ok(Answer::elsewhere(&head.headers, head.status, buffer));
        };
        let (mut sent, idle) = (false, self.idle.take());
        let exchange =
            Exchange { client: &self.client, prepared, usual: self.usual, body_max: limits.body_max };
        let work = run(exchange, &request, idle, &mut sent, buffer);
        let outcome = within(limits.timeout, work).await;
        if outcome.as_ref().is_err_and(ClientError::is_for_http2) && self.client.speaks_http2() {
            (self.elsewhere, self.prepared) = (true, None);
            let head = Box::pin(self.client.send_into(request(), limits, buffer)).await?;
            return Ok(Answer::elsewhere(&head.headers, head.status, buffer));
        }
        match outcome.map_err(|error| if sent { error.maybe_sent() } else { error }.of(&request()))? {
            Outcome::Here(mut received) => {
                self.usual = received.wire_bytes;
                self.idle = received.connection.take().filter(|_| self.keep);
                Ok(Answer::here(&received, buffer))
            }
            Outcome::Elsewhere(head) => {
                self.elsewhere = true;
                Ok(Answer::elsewhere(&head.headers, head.status, buffer))
            }
        }
    }

    /// Makes the request's bytes, where it is to be sent from here: once, or each time where a part of it is in
    /// a file, which may change.
    fn prepare(&mut self, request: &impl Fn() -> Request<Bytes>) -> Result<(), ClientError> {
        if self.prepared.is_some() && !self.client.reads_secrets() {
            self.prepared = self.prepared.take().filter(|_| !self.elsewhere);
            return Ok(());
        }
        self.prepared = None;
        let request = request();
        if !self.elsewhere && self.client.goes_straight(request.uri()) {
            self.prepared = Some(Prepared::new(&self.client, &request).map_err(|error| error.of(&request))?);
        }
        Ok(())
    }
}

/// Sends the request and reads the answer, also that of the place that a redirect leads to.
async fn run(
    exchange: Exchange<'_>,
    request: &impl Fn() -> Request<Bytes>,
    idle: Option<Link>,
    sent: &mut bool,
    buffer: &mut Vec<u8>,
) -> Result<Outcome, ClientError> {
    let received = exchange.run(idle, sent, buffer).await?;
    let client = exchange.client;
    let location = received.location.clone().filter(|_| client.follows(received.status));
    let Some(location) = location else { return Ok(Outcome::Here(received)) };
    let rest = async {
        let mut hop = Hop::new(request())?;
        let origin = hop.origin();
        hop.redirect(received.status, &buffer[location], &origin)?;
        client.follow(&mut hop, &origin, REDIRECTS_MAX - 1, exchange.body_max, sent, buffer).await
    };
    // Boxed as well.
    Ok(Outcome::Elsewhere(Box::pin(rest).await?))
}

impl Prepared {
    fn new(client: &Client, request: &Request<Bytes>) -> Result<Self, ClientError> {
        let (uri, headers) = client.address_and_headers(request)?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut bytes = format!("GET {path} HTTP/1.1\r\n").into_bytes();
        let mut add = |name: &[u8], value: &[u8]| {
            for part in [name, b": ", value, b"\r\n"] {
                bytes.extend_from_slice(part);
            }
        };
        if !headers.contains_key(HOST) {
            let host = uri.host().unwrap_or_default();
            let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
            match uri.port_u16().filter(|port| *port != usual) {
                Some(port) => add(b"host", format!("{host}:{port}").as_bytes()),
                None => add(b"host", host.as_bytes()),
            }
        }
        for (name, value) in &headers {
            add(name.as_str().as_bytes(), value.as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.shrink_to_fit();
        Ok(Self { uri, bytes })
    }
}

impl<'b> Answer<'b> {
    fn here(received: &Received, buffer: &'b [u8]) -> Self {
        Self {
            status: received.status,
            content_type: Cow::Borrowed(&buffer[received.content_type.clone()]),
            content_encoding: Cow::Borrowed(&buffer[received.content_encoding.clone()]),
            body: &buffer[received.body.clone()],
        }
    }

    fn elsewhere(headers: &HeaderMap, status: StatusCode, body: &'b [u8]) -> Self {
        let value = |name| headers.get(name).map_or(&b""[..], |value| value.as_bytes()).to_vec();
        Self {
            status,
            content_type: Cow::Owned(value(CONTENT_TYPE)),
            content_encoding: Cow::Owned(value(CONTENT_ENCODING)),
            body,
        }
    }
}
