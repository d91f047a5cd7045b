//! The head of an HTTP/1 answer: what it says of the body, and the few headers that matter here.

use std::ops::Range;

use http::StatusCode;

use crate::error::{ClientError, ErrorKind};

/// Headers of an answer, at most.
const HEADERS_MAX: usize = 100;
/// Bytes of all heads of an answer, at most.
pub(super) const HEAD_MAX: usize = 400 << 10;

/// Where a body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A parsed head. Ranges are of the bytes that were parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerHead {
    /// Its own bytes.
    pub(super) len: usize,
    pub(super) status: StatusCode,
    pub(super) framing: Framing,
    /// Whether another request may follow.
    pub(super) keep_alive: bool,
    pub(super) content_type: Range<usize>,
    pub(super) content_encoding: Range<usize>,
    pub(super) location: Option<Range<usize>>,
}

impl AnswerHead {
    /// Whether another head follows instead of a body (1xx).
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Reads a head; `None` where more of it must come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<AnswerHead>, ClientError> {
    let mut headers = [std::mem::MaybeUninit::uninit(); HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let len = match config.parse_response_with_uninit_headers(&mut answer, bytes, &mut headers) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(format!("no HTTP answer: {error}"))),
    };
    let code = answer.code.unwrap_or_default();
    let status = StatusCode::from_u16(code).map_err(|_| bad(format!("no HTTP answer: status {code}")))?;
    let mut said = Said::new(answer.version == Some(1));
    for header in answer.headers.iter() {
        said.header(bytes, header);
    }
    let framing = said.framing(status)?;
    let keep_alive =
        said.keep_alive && framing != Framing::UntilClose && status != StatusCode::SWITCHING_PROTOCOLS;
    let Said { content_type, content_encoding, location, .. } = said;
    Ok(Some(AnswerHead {
        len,
        status,
        framing,
        keep_alive,
        content_type: content_type.unwrap_or(0..0),
        content_encoding: content_encoding.unwrap_or(0..0),
        location,
    }))
}

/// What headers said so far.
struct Said {
    modern: bool,
    keep_alive: bool,
    /// The last one's last coding is `chunked`; `None`: there is none.
    chunked: Option<bool>,
    length: Option<u64>,
    content_type: Option<Range<usize>>,
    content_encoding: Option<Range<usize>>,
    location: Option<Range<usize>>,
    /// Why lengths cannot be used: that matters only where nothing else says where the body ends.
    bad_length: Option<&'static str>,
}

impl Said {
    /// `modern`: HTTP/1.1, where connections stay unless told otherwise.
    fn new(modern: bool) -> Self {
        Self {
            modern,
            keep_alive: modern,
            chunked: None,
            length: None,
            content_type: None,
            content_encoding: None,
            location: None,
            bad_length: None,
        }
    }

    /// Of headers that stand there twice the first counts, except where all of them must agree.
    fn header(&mut self, bytes: &[u8], header: &httparse::Header<'_>) {
        let (name, value) = (header.name, header.value);
        let place = || {
            let at = value.as_ptr().addr().saturating_sub(bytes.as_ptr().addr());
            at..at + value.len()
        };
        if name.eq_ignore_ascii_case("content-length") {
            self.lengths(value);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            let last = items(value).last().unwrap_or_default();
            self.chunked = Some(last.eq_ignore_ascii_case(b"chunked"));
        } else if name.eq_ignore_ascii_case("connection") {
            let has = |what: &[u8]| items(value).any(|item| item.eq_ignore_ascii_case(what));
            self.keep_alive = if self.keep_alive { !has(b"close") } else { has(b"keep-alive") };
        } else if name.eq_ignore_ascii_case("content-type") {
            self.content_type.get_or_insert_with(place);
        } else if name.eq_ignore_ascii_case("content-encoding") {
            self.content_encoding.get_or_insert_with(place);
        } else if name.eq_ignore_ascii_case("location") {
            self.location.get_or_insert_with(place);
        }
    }

    fn lengths(&mut self, value: &[u8]) {
        for item in items(value) {
            let digits = !item.is_empty() && item.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(item).unwrap_or_default();
            match text.parse::<u64>() {
                Ok(length) if digits && self.length.is_none_or(|known| known == length) => {
                    self.length = Some(length);
                }
                _ => self.bad_length = Some("a Content-Length that is none"),
            }
        }
    }

    fn framing(&self, status: StatusCode) -> Result<Framing, ClientError> {
        if status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok(Framing::Length(0));
        }
        match (self.chunked, self.bad_length, self.length) {
            (Some(_), ..) if !self.modern => Err(bad("a Transfer-Encoding in HTTP/1.0")),
            (Some(true), ..) => Ok(Framing::Chunked),
            (Some(false), ..) | (None, None, None) => Ok(Framing::UntilClose),
            (None, Some(why), _) => Err(bad(why)),
            (None, None, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

/// The items of a list in a header.
fn items(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

pub(super) fn bad(what: impl Into<String>) -> ClientError {
    ClientError::new(ErrorKind::Protocol, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The framing and whether the connection stays; `None` for an error.
    fn said(head: &str) -> Option<(u16, Framing, bool)> {
        let parsed = parse(head.as_bytes()).ok()?.expect("a whole head");
        assert_eq!(parsed.len, head.len(), "{head:?}");
        Some((parsed.status.as_u16(), parsed.framing, parsed.keep_alive))
    }

    #[test]
    fn headers_say_where_the_body_ends_and_whether_more_may_follow() {
        use Framing::{Chunked, Length, UntilClose};
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", Some((200, Length(5), true))),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length:5\r\n\r\n",
                Some((200, Length(5), true)),
            ),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", None),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: x, Close\r\n\r\n",
                Some((200, Length(5), false)),
            ),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", Some((200, Length(5), false))),
            (
                "HTTP/1.0 200\r\ncontent-length: 5\r\nconnection: keep-alive\r\n\r\n",
                Some((200, Length(5), true)),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n", Some((200, Chunked, true))),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: x\r\ntransfer-encoding: a, chunked\r\n\r\n",
                Some((200, Chunked, true)),
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, a\r\n\r\n", Some((200, UntilClose, false))),
            ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\n\r\n", Some((200, UntilClose, false))),
            ("HTTP/1.1 204 No\r\ncontent-length: 5\r\n\r\n", Some((204, Length(0), true))),
            ("HTTP/1.1 304 Not\r\n\r\n", Some((304, Length(0), true))),
            ("HTTP/1.0 204 No\r\ntransfer-encoding: chunked\r\n\r\n", Some((204, Length(0), false))),
            ("HTTP/1.1 101 Go\r\n\r\n", Some((101, Length(0), false))),
            ("HTTP/1.1 100 Continue\r\n\r\n", Some((100, Length(0), true))),
            ("HTTP/1.1 099 What\r\n\r\n", None),
            ("HTTP/2 200 OK\r\n\r\n", None),
            ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", None),
        ] {
            assert_eq!(said(head), expected, "{head:?}");
        }
    }

    #[test]
    fn a_head_is_whole_only_with_its_end() {
        let head = b"HTTP/1.1 302 Found\r\nLocation: /a\r\ncontent-type: text/plain \r\nlocation: /b\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(parse(&head[..end]).expect("no error"), None, "{end}");
        }
        let parsed = parse(head).expect("good").expect("whole");
        assert_eq!(&head[parsed.location.expect("a place")], b"/a");
        assert_eq!(&head[parsed.content_type], b"text/plain");
        assert!(parsed.content_encoding.is_empty());
    }
}
