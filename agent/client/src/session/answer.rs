//! One request and its answer over one connection.

use std::io;
use std::ops::Range;

use http::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Client, TRUSTED_LENGTH};
use crate::error::{ClientError, ErrorKind};
use crate::failure::{deepest, is_tls};
use crate::link::Link;
use crate::session::Prepared;
use crate::session::chunks::Chunks;
use crate::session::head::{self, AnswerHead, Framing, HEAD_MAX, bad};

/// Bytes for which there is room at each read beyond what is expected: a read that finds no more than it has room
/// for need not be tried again.
const READ_MORE: usize = 16 << 10;

/// What a request needs.
#[derive(Clone, Copy)]
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    pub(super) prepared: &'a Prepared,
    /// Bytes of the last answer.
    pub(super) usual: usize,
    pub(super) body_max: u64,
}

/// An answer. Ranges are of the buffer.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: StatusCode,
    pub(super) content_type: Range<usize>,
    pub(super) content_encoding: Range<usize>,
    pub(super) location: Option<Range<usize>>,
    pub(super) body: Range<usize>,
    /// Bytes that were read.
    pub(super) wire_bytes: usize,
    /// Where another request may follow.
    pub(super) connection: Option<Link>,
}

/// Why there is no answer.
enum Failure {
    /// The other side had hung up before it answered.
    Unanswered(io::Error),
    Other(ClientError),
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Other(error)
    }
}

/// What is read of an answer, and where it comes from.
struct Reading<'a> {
    stream: Link,
    buffer: &'a mut Vec<u8>,
    usual: usize,
    wire_bytes: usize,
}

impl Exchange<'_> {
    /// Over the idle connection, where there is one that is still open; else over a new one. `sent` is set once
    /// the other side may have seen the request.
    pub(super) async fn run(
        &self,
        idle: Option<Link>,
        sent: &mut bool,
        buffer: &mut Vec<u8>,
    ) -> Result<Received, ClientError> {
        let idle = idle.filter(|link| self.client.is_current(link));
        if let Some(stream) = idle.and_then(|mut link| link.is_idle().then_some(link)) {
            *sent = true;
            match self.over(stream, buffer).await {
                Ok(received) => return Ok(received),
                Err(Failure::Other(error)) => return Err(error),
                // It may hang up just when a request comes. A `GET` may be sent twice.
                Err(Failure::Unanswered(_)) => {}
            }
        }
        let stream = Box::pin(self.client.connect(self.prepared.uri.clone())).await?;
        *sent = true;
        self.over(stream, buffer).await.map_err(|failure| match failure {
            Failure::Unanswered(error) if is_tls(&error) => broken(&error),
            Failure::Unanswered(error) => bad(format!("connection closed before an answer came: {error}")),
            Failure::Other(error) => error,
        })
    }

    async fn over(&self, mut stream: Link, buffer: &mut Vec<u8>) -> Result<Received, Failure> {
        buffer.clear();
        stream.write_all(&self.prepared.bytes).await.map_err(Failure::Unanswered)?;
        stream.flush().await.map_err(Failure::Unanswered)?;
        let mut reading = Reading { stream, buffer, usual: self.usual, wire_bytes: 0 };
        let (start, head) = reading.head().await?;
        let begin = start + head.len;
        let (end, exact) = reading.body(begin, head.framing, self.body_max).await?;
        let at = |range: Range<usize>| start + range.start..start + range.end;
        let Reading { stream, wire_bytes, .. } = reading;
        Ok(Received {
            status: head.status,
            content_type: at(head.content_type),
            content_encoding: at(head.content_encoding),
            location: head.location.map(at),
            body: begin..end,
            wire_bytes,
            connection: (head.keep_alive && exact).then_some(stream),
        })
    }
}

impl Reading<'_> {
    /// Reads what there is; how much. `wanted`: about how much is to come.
    async fn more(&mut self, wanted: usize) -> io::Result<usize> {
        self.buffer.reserve(wanted.min(TRUSTED_LENGTH as usize) + READ_MORE);
        let read = self.stream.read_buf(self.buffer).await?;
        self.wire_bytes += read;
        Ok(read)
    }

    /// The head of the answer proper and where it begins: interim ones may stand before it.
    async fn head(&mut self) -> Result<(usize, AnswerHead), Failure> {
        // As many bytes again must come before another look is worth it, or a line that may be the last.
        let (mut start, mut looked_at) = (0, 0);
        loop {
            let seen = self.buffer.len();
            let read = self.more(self.usual.saturating_sub(seen)).await;
            match read {
                Ok(0) if seen == 0 => return Err(Failure::Unanswered(io::ErrorKind::UnexpectedEof.into())),
                Err(error) if seen == 0 => return Err(Failure::Unanswered(error)),
                Ok(0) => return Err(bad("connection closed within the answer's head").into()),
                Err(error) => return Err(broken(&error).into()),
                Ok(_) => {}
            }
            let new = &self.buffer[seen.saturating_sub(3).max(start)..];
            let may_end = new.windows(2).any(|pair| pair == b"\n\n" || pair == b"\n\r");
            if !may_end && self.buffer.len() < 2 * looked_at {
                continue;
            }
            looked_at = self.buffer.len();
            while let Some(head) = head::parse(&self.buffer[start..])? {
                if !head.is_interim() {
                    return Ok((start, head));
                }
                start += head.len;
            }
            if self.buffer.len() > HEAD_MAX {
                return Err(bad(format!("the answer's head has more than {HEAD_MAX} bytes")).into());
            }
        }
    }

    /// Reads the body that begins at `begin`: where it ends, and whether nothing follows it.
    async fn body(
        &mut self,
        begin: usize,
        framing: Framing,
        body_max: u64,
    ) -> Result<(usize, bool), ClientError> {
        match framing {
            Framing::Length(length) => self.counted(begin, length, body_max).await,
            Framing::Chunked => self.chunked(begin, body_max).await,
            Framing::UntilClose => loop {
                check(self.buffer.len() - begin, body_max)?;
                let wanted = self.usual.saturating_sub(self.buffer.len());
                if self.more(wanted).await.map_err(|error| broken(&error))? == 0 {
                    return Ok((self.buffer.len(), false));
                }
            },
        }
    }

    async fn counted(
        &mut self,
        begin: usize,
        length: u64,
        body_max: u64,
    ) -> Result<(usize, bool), ClientError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        check(length, body_max)?;
        let end = begin.saturating_add(length);
        while self.buffer.len() < end {
            let missing = end - self.buffer.len();
            if self.more(missing).await.map_err(|error| broken(&error))? == 0 {
                return Err(ended());
            }
        }
        Ok((end, self.buffer.len() == end))
    }

    async fn chunked(&mut self, begin: usize, body_max: u64) -> Result<(usize, bool), ClientError> {
        let (mut chunks, mut joined) = (Chunks::new(), begin);
        loop {
            joined = chunks.join(self.buffer, joined)?;
            check(joined - begin, body_max)?;
            if chunks.is_done() {
                return Ok((joined, joined == self.buffer.len()));
            }
            let wanted = self.usual.saturating_sub(self.wire_bytes);
            if self.more(wanted).await.map_err(|error| broken(&error))? == 0 {
                return Err(ended());
            }
        }
    }
}

fn check(bytes: usize, body_max: u64) -> Result<(), ClientError> {
    let fits = bytes as u64 <= body_max;
    if fits { Ok(()) } else { Err(ClientError::new(ErrorKind::BodyTooLarge, "body size limit exceeded")) }
}

fn ended() -> ClientError {
    bad("connection closed within the answer's body")
}

fn broken(error: &io::Error) -> ClientError {
    if is_tls(error) {
        return ClientError::new(ErrorKind::Tls, deepest(error));
    }
    bad(format!("reading the answer: {error}"))
}
