//! Quotes and angle brackets in a request's target. Browsers and `curl -g` send `match[]={job="node"}` as it is,
//! and Go's servers take it; the URIs that our HTTP library knows do not have them. So they are percent-encoded as
//! they come in, in the first lines of HTTP/1 requests and nowhere else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a header that are looked at: enough for the longest that says where the request ends.
const HEADER_LOOK: usize = 64;

/// Where in the stream its next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the first line of a request.
    First,
    /// In a header; what those before said of the body's length.
    Header(Option<u64>),
    /// In a body of which so many bytes are to come.
    Body(u64),
    /// Somewhere of which nothing is known: a body in chunks, HTTP/2, another protocol. From here on all is as it is.
    Unknown,
}

/// A stream whose requests' targets can be read.
#[derive(Debug)]
pub(crate) struct Targets<S> {
    stream: S,
    place: Place,
    /// The line so far, as far as it is looked at.
    line: Vec<u8>,
    /// Whether the line has a space: what follows is the target.
    in_target: bool,
    /// Read and not given yet, the first at `given`.
    left: Vec<u8>,
    given: usize,
}

impl<S> Targets<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, place: Place::First, line: Vec::new(), in_target: false, left: Vec::new(), given: 0 }
    }

    /// Goes on by these bytes; gives where among them those are that must be encoded.
    fn find(&mut self, bytes: &[u8]) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match self.place {
                Place::Unknown => break,
                Place::Body(left) => {
                    let here = left.min((bytes.len() - at) as u64);
                    self.place = if here == left { Place::First } else { Place::Body(left - here) };
                    at += here as usize;
                    continue;
                }
                Place::First | Place::Header(_) if byte == b'\n' => self.end_line(),
                Place::First => {
                    if self.in_target && matches!(byte, b'"' | b'<' | b'>') {
                        found.push(at);
                    }
                    self.in_target |= byte == b' ';
                    self.look(byte);
                }
                Place::Header(_) => self.look(byte),
            }
            at += 1;
        }
        found
    }

    fn look(&mut self, byte: u8) {
        if self.line.len() < HEADER_LOOK {
            self.line.push(byte);
        }
    }

    fn end_line(&mut self) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        self.place = match self.place {
            // Empty lines before a request are passed over by every server.
            Place::First if line.is_empty() => Place::First,
            Place::First if line.starts_with(b"PRI ") => Place::Unknown,
            Place::First => Place::Header(None),
            Place::Header(length) if line.is_empty() => match length {
                None | Some(0) => Place::First,
                Some(length) => Place::Body(length),
            },
            Place::Header(length) => after_header(line, length),
            other => other,
        };
        self.line.clear();
        self.in_target = false;
    }

    /// Gives what is left from before; whether there was anything.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let left = &self.left[self.given..];
        if left.is_empty() {
            return false;
        }
        let here = left.len().min(buffer.remaining());
        buffer.put_slice(&left[..here]);
        self.given += here;
        if self.given == self.left.len() {
            (self.left, self.given) = (Vec::new(), 0);
        }
        true
    }
}

/// Where the line after a header is. A body whose length is told twice, oddly or in chunks is not followed.
fn after_header(line: &[u8], length: Option<u64>) -> Place {
    let Some(colon) = line.iter().position(|&byte| byte == b':').filter(|&at| line[..at].is_ascii()) else {
        return Place::Unknown;
    };
    let (name, value) = (line[..colon].to_ascii_lowercase(), &line[colon + 1..]);
    match name.as_slice() {
        // A line that goes on with the one before.
        [b' ' | b'\t', ..] => Place::Unknown,
        b"transfer-encoding" | b"upgrade" => Place::Unknown,
        b"content-length" if length.is_some() || line.len() >= HEADER_LOOK - 1 => Place::Unknown,
        b"content-length" => match std::str::from_utf8(value).map(|value| value.trim().parse()) {
            Ok(Ok(length)) => Place::Header(Some(length)),
            _ => Place::Unknown,
        },
        _ => Place::Header(length),
    }
}

fn encoded(bytes: &[u8], places: &[usize]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2 * places.len());
    let mut from = 0;
    for &at in places {
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(match bytes[at] {
            b'"' => b"%22",
            b'<' => b"%3C",
            _ => b"%3E",
        });
        from = at + 1;
    }
    out.extend_from_slice(&bytes[from..]);
    out
}

impl<S: AsyncRead + Unpin> AsyncRead for Targets<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.give(buffer) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let found = self.find(&buffer.filled()[before..]);
        if !found.is_empty() {
            self.left = encoded(&buffer.filled()[before..], &found);
            buffer.set_filled(before);
            self.give(buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Targets<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Some bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl AsyncRead for Dribble<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.0.len().min(self.1).min(buffer.remaining()));
            buffer.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    async fn read(sent: &str, at_a_time: usize) -> String {
        let mut out = String::new();
        let mut targets = Targets::new(Dribble(sent.as_bytes(), at_a_time));
        targets.read_to_string(&mut out).await.expect("text");
        out
    }

    #[tokio::test]
    async fn only_targets_are_encoded() {
        for (sent, wanted) in [
            (
                "GET /a?m={b=\"c\"} HTTP/1.1\r\nH: \"<x>\"\r\n\r\n",
                "GET /a?m={b=%22c%22} HTTP/1.1\r\nH: \"<x>\"\r\n\r\n",
            ),
            (
                // A body, an empty line, and a request behind it.
                "POST /?q=a<1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n\"<>\"\n\r\nGET /?q=a>1 HTTP/1.1\nA: \">\"\n\n",
                "POST /?q=a%3C1 HTTP/1.1\r\nContent-Length: 5\r\n\r\n\"<>\"\n\r\nGET /?q=a%3E1 HTTP/1.1\nA: \">\"\n\n",
            ),
            (
                "POST / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\n\r\n5\r\nG \"<\"\r\n0\r\n\r\n",
                "POST / HTTP/1.1\r\nTRANSFER-encoding: chunked\r\n\r\n5\r\nG \"<\"\r\n0\r\n\r\n",
            ),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\na \"", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\na \""),
            // Who says the length twice is not followed.
            (
                "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 9\r\n\r\nG \"\n\nG \"",
                "POST / HTTP/1.1\r\nContent-Length: 1\r\ncontent-length: 9\r\n\r\nG \"\n\nG \"",
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: +1\r\n continued: \"\r\n\r\nG \"",
                "POST / HTTP/1.1\r\nContent-Length: +1\r\n continued: \"\r\n\r\nG \"",
            ),
            ("G\" \"", "G\" %22"),
        ] {
            for at_a_time in [1, 2, 3, 7, 1_000] {
                assert_eq!(read(sent, at_a_time).await, wanted, "{at_a_time} bytes at a time");
            }
        }
    }
}
