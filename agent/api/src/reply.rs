//! The envelope of a successful answer. What may be large is written while it is sent.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::{StatusCode, header};
use serde::Serialize;
use storage::Coverage;

use crate::error::{ApiError, ErrorKind};
use crate::json;

/// Most warnings, and most infos, in one answer.
const NOTES_MAX: usize = 10;

/// What is said when a limit cut an answer short.
const TRUNCATED: &str = "results truncated due to limit";

/// Bytes of an answer that are made before they are sent; what is longer is sent in such pieces.
const PIECE: usize = 64 << 10;

/// Data that is made part by part, so that a large answer is never there as a whole.
pub(crate) trait Parts: Send {
    /// Writes some more, at least something and not much more than [`PIECE`]; false once all is written.
    fn write(&mut self, out: &mut String) -> bool;
}

enum Data {
    /// JSON already.
    Whole(String),
    Parts(Box<dyn Parts>),
    /// There is none, which is no error.
    None,
}

/// An answer's data, and what there is to say about it.
pub(crate) struct Reply {
    data: Data,
    warnings: Vec<String>,
    infos: Vec<String>,
}

impl Reply {
    /// An answer that is JSON already.
    pub(crate) fn raw(data: String) -> Self {
        Self { data: Data::Whole(data), warnings: Vec::new(), infos: Vec::new() }
    }

    /// An answer that is made while it is sent.
    pub(crate) fn parts(data: impl Parts + 'static) -> Self {
        Self { data: Data::Parts(Box::new(data)), ..Self::nothing() }
    }

    /// A list, an entry a part.
    pub(crate) fn list<T: Send + 'static>(
        entries: Vec<T>,
        write: impl Fn(&mut String, &T) + Send + 'static,
    ) -> Self {
        Self::parts(List { entries: entries.into_iter(), write, is_begun: false })
    }

    /// An answer without data, where Prometheus gives none.
    pub(crate) fn nothing() -> Self {
        Self { data: Data::None, warnings: Vec::new(), infos: Vec::new() }
    }

    /// An answer to be written as JSON.
    pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, ApiError> {
        json::to_json(value).map(Self::raw).map_err(|error| {
            ApiError::new(ErrorKind::Internal, format!("error marshaling json response: {error}"))
        })
    }

    /// Adds warnings, each text once.
    pub(crate) fn warn(mut self, warnings: impl IntoIterator<Item = String>) -> Self {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        self
    }

    /// Adds remarks of less weight.
    pub(crate) fn inform(mut self, infos: impl IntoIterator<Item = String>) -> Self {
        self.infos.extend(infos);
        self
    }

    /// Says that a limit cut the answer short, where it did.
    pub(crate) fn truncated(self, was: bool) -> Self {
        self.warn(was.then(|| TRUNCATED.to_owned()))
    }

    /// Says what the answer does not cover.
    pub(crate) fn cover(self, coverage: &Coverage) -> Self {
        self.warn(coverage_warnings(coverage))
    }
}

/// A coverage's warnings and gaps as sentences.
pub(crate) fn coverage_warnings(coverage: &Coverage) -> Vec<String> {
    let gaps = coverage.gaps.iter().map(|gap| {
        format!(
            "data is missing from {} to {}: {}",
            json::rfc3339(gap.start),
            json::rfc3339(gap.end),
            gap.why
        )
    });
    coverage.warnings.iter().cloned().chain(gaps).collect()
}

struct List<T, W> {
    entries: std::vec::IntoIter<T>,
    write: W,
    is_begun: bool,
}

impl<T: Send, W: Fn(&mut String, &T) + Send> Parts for List<T, W> {
    fn write(&mut self, out: &mut String) -> bool {
        let begin = if self.is_begun { ',' } else { '[' };
        let Some(entry) = self.entries.next() else {
            out.push_str(if self.is_begun { "]" } else { "[]" });
            return false;
        };
        out.push(begin);
        (self.write)(out, &entry);
        self.is_begun = true;
        true
    }
}

/// A body in pieces: the envelope's head, the data, what is said about it.
struct Pieces {
    /// What the next piece begins with.
    begun: String,
    data: Option<Box<dyn Parts>>,
    tail: String,
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let data = self.data.as_mut()?;
        let mut piece = std::mem::take(&mut self.begun);
        while piece.len() < PIECE {
            if !data.write(&mut piece) {
                piece.push_str(&self.tail);
                self.data = None;
                break;
            }
        }
        Some(piece.into())
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut tail = String::new();
        write_notes(&mut tail, "warnings", &self.warnings);
        write_notes(&mut tail, "infos", &self.infos);
        tail.push('}');
        let mut begun = "{\"status\":\"success\",\"data\":".to_owned();
        let body = match self.data {
            Data::None => return StatusCode::NO_CONTENT.into_response(),
            Data::Whole(data) => {
                begun.push_str(&data);
                begun.push_str(&tail);
                Body::from(begun)
            }
            Data::Parts(data) => {
                let mut pieces = Pieces { begun, data: Some(data), tail };
                let first = pieces.next().unwrap_or_default();
                if pieces.data.is_none() {
                    Body::from(first)
                } else {
                    let all = std::iter::once(first).chain(pieces);
                    Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>)))
                }
            }
        };
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

fn write_notes(body: &mut String, key: &str, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let more = notes.len().saturating_sub(NOTES_MAX);
    let tail = (more > 0).then(|| format!("{more} more {key} omitted"));
    body.push_str(",\"");
    body.push_str(key);
    body.push_str("\":[");
    for (at, note) in notes.iter().take(NOTES_MAX).chain(tail.as_ref()).enumerate() {
        if at > 0 {
            body.push(',');
        }
        json::write_string(body, note);
    }
    body.push(']');
}
