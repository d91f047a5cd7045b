//! Chunked bodies, joined where they stand (RFC 9112, 7.1).

use crate::error::ClientError;
use crate::session::head::bad;

/// Bytes of a body's chunk extensions, at most.
const EXTENSIONS_MAX: usize = 16 << 10;
/// Bytes of a body's trailers, at most.
const TRAILERS_MAX: usize = 16 << 10;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The first digit of a chunk's size.
    Start,
    /// More of them, or what follows.
    Size,
    /// Spaces after the size.
    Space,
    Extension,
    SizeEnd,
    /// So many bytes of data.
    Data,
    DataReturn,
    DataEnd,
    /// A trailer, or the end of all.
    Line,
    Trailer,
    TrailerEnd,
    LastEnd,
    Done,
}

/// Joins the chunks of one body.
#[derive(Debug)]
pub(super) struct Chunks {
    state: State,
    /// Bytes of the chunk at hand that are to come.
    left: u64,
    extensions: usize,
    trailers: usize,
}

impl Chunks {
    pub(super) fn new() -> Self {
        Self { state: State::Start, left: 0, extensions: 0, trailers: 0 }
    }

    /// Whether the body is whole.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes what came after `joined` bytes of the buffer; gives how many are joined then. All that came is
    /// used up, except what follows the body's end, which stays behind it.
    pub(super) fn join(&mut self, buffer: &mut Vec<u8>, joined: usize) -> Result<usize, ClientError> {
        let (mut to, mut from) = (joined, joined);
        while from < buffer.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len() - from);
                buffer.copy_within(from..from + here, to);
                (to, from, self.left) = (to + here, from + here, self.left - here as u64);
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                continue;
            }
            self.state = self.step(buffer[from])?;
            from += 1;
        }
        buffer.copy_within(from.., to);
        buffer.truncate(to + buffer.len() - from);
        Ok(to)
    }

    fn step(&mut self, byte: u8) -> Result<State, ClientError> {
        match (self.state, byte) {
            (State::Start | State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                let size = self.left.checked_mul(16).and_then(|size| size.checked_add(u64::from(digit)));
                self.left = size.ok_or_else(|| bad("a chunk's size is out of range"))?;
                Ok(State::Size)
            }
            (State::Size | State::Space, b' ' | b'\t') => Ok(State::Space),
            (State::Size | State::Space, b';') => Ok(State::Extension),
            (State::Size | State::Space | State::Extension, b'\r') => Ok(State::SizeEnd),
            (State::Extension, byte) if byte != b'\n' => {
                self.extensions += 1;
                let fits = self.extensions <= EXTENSIONS_MAX;
                if fits { Ok(State::Extension) } else { Err(bad("chunk extensions over the limit")) }
            }
            (State::SizeEnd, b'\n') => Ok(if self.left == 0 { State::Line } else { State::Data }),
            (State::DataReturn, b'\r') => Ok(State::DataEnd),
            (State::DataEnd, b'\n') => Ok(State::Start),
            (State::Line, b'\r') => Ok(State::LastEnd),
            (State::Trailer, b'\r') => Ok(State::TrailerEnd),
            (State::Line | State::Trailer, _) => {
                self.trailers += 1;
                let fits = self.trailers <= TRAILERS_MAX;
                if fits { Ok(State::Trailer) } else { Err(bad("trailers over the limit")) }
            }
            (State::TrailerEnd, b'\n') => Ok(State::Line),
            (State::LastEnd, b'\n') => Ok(State::Done),
            (state, _) => Err(bad(format!("a chunked body is broken at byte {byte:#04x} ({state:?})"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Joins a body that comes in pieces; what follows it comes back too.
    fn join(body: &[u8], piece: usize) -> Option<(Vec<u8>, Vec<u8>)> {
        let (mut chunks, mut buffer, mut joined) = (Chunks::new(), b"head".to_vec(), 4);
        for piece in body.chunks(piece.max(1)) {
            buffer.extend_from_slice(piece);
            if !chunks.is_done() {
                joined = chunks.join(&mut buffer, joined).ok()?;
                assert!(chunks.is_done() || joined == buffer.len(), "all is used up");
            }
        }
        let rest = buffer.split_off(joined);
        assert_eq!(&buffer[..4], b"head");
        chunks.is_done().then(|| (buffer.split_off(4), rest))
    }

    #[test]
    fn good_bodies_are_joined_and_bad_ones_refused() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(EXTENSIONS_MAX));
        let longer = long.replacen(';', ";y", 1);
        let trailer = format!("0\r\na: {}\r\n\r\n", "x".repeat(TRAILERS_MAX));
        for (body, joined) in [
            ("0\r\n\r\n", Some(("", ""))),
            ("3\r\nabc\r\n0\r\n\r\n", Some(("abc", ""))),
            (
                "3 \t\r\nabc\r\n0a;n=\"v\"\r\n0123456789\r\n000\r\nt: 1\r\nu: 2\r\n\r\nHTTP",
                Some(("abc0123456789", "HTTP")),
            ),
            ("1\r\n\r\r\n0\r\n\r\n", Some(("\r", ""))),
            (&long, Some(("a", ""))),
            (&longer, None),
            (&trailer, None),
            ("", None),
            ("\r\n", None),
            ("3\r\nabc\r\n", None),
            ("3\r\nabcd\r\n0\r\n\r\n", None),
            ("3\nabc\r\n0\r\n\r\n", None),
            ("-1\r\n", None),
            ("3;a\nb\r\nabc\r\n0\r\n\r\n", None),
            ("10000000000000000\r\n", None),
            ("0\r\nt: 1\n\r\n", None),
        ] {
            for piece in [1, 2, 3, body.len()] {
                let expected = joined.map(|(body, rest)| (body.into(), rest.into()));
                assert_eq!(join(body.as_bytes(), piece), expected, "{body:?} by {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_cut_into_chunks_and_pieces_is_the_same_body(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8), piece in 1..60usize,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(join(&wire, piece), Some((chunks.concat(), Vec::new())));
        }

        #[test]
        fn any_bytes_are_refused_or_joined(body: Vec<u8>, piece in 1..20usize) {
            join(&body, piece);
        }
    }
}
