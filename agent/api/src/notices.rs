//! What a process has to tell its users, such as a configuration that does not load: `/notifications`, and
//! `/notifications/live`, which tells of changes as they come.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use env::SharedClock;
use futures_util::stream;
use http::{StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::json;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, ApiState, Inner};

/// Those who may listen at a time, where nothing else is said.
pub(crate) const LISTENERS_MAX: usize = 16;
/// Notices that hold at a time; a further one takes the oldest one's place.
const NOTICES_MAX: usize = 100;

/// A notice that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Notice {
    text: String,
    /// Since when, in milliseconds since the Unix epoch.
    since: i64,
}

#[derive(Debug, Default)]
struct Board {
    notices: Vec<Notice>,
    /// Whether nothing more will come.
    is_closed: bool,
}

/// The notices that hold now.
#[derive(Debug)]
pub struct Notices {
    clock: SharedClock,
    board: watch::Sender<Board>,
}

impl Notices {
    /// None yet.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Arc::new(Self { clock, board: watch::Sender::new(Board::default()) })
    }

    /// A notice holds from now on, if it did not already.
    pub fn raise(&self, text: &str) {
        let since = self.clock.now_ms();
        self.board.send_if_modified(|board| {
            let is_new = board.notices.iter().all(|notice| notice.text != text);
            if is_new {
                board.notices.push(Notice { text: text.to_owned(), since });
                let surplus = board.notices.len().saturating_sub(NOTICES_MAX);
                board.notices.drain(..surplus);
            }
            is_new
        });
    }

    /// A notice holds no more.
    pub fn settle(&self, text: &str) {
        self.board.send_if_modified(|board| {
            let before = board.notices.len();
            board.notices.retain(|notice| notice.text != text);
            board.notices.len() < before
        });
    }

    /// The process ends: who listens is told, and let go.
    pub fn close(&self) {
        self.board.send_modify(|board| board.is_closed = true);
    }
}

/// `/api/v1/notifications`: those that hold.
pub(crate) fn list<'a>(state: &'a Inner, _params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let mut data = String::from("[");
        for (at, notice) in state.parts.notices.board.borrow().notices.iter().enumerate() {
            if at > 0 {
                data.push(',');
            }
            write(&mut data, &notice.text, notice.since, true);
        }
        data.push(']');
        Ok(Reply::raw(data))
    })
}

/// Who listens, and what it knows.
struct Listener {
    clock: SharedClock,
    board: watch::Receiver<Board>,
    known: Vec<Notice>,
    is_first: bool,
    is_last: bool,
    _permit: OwnedSemaphorePermit,
}

/// `/api/v1/notifications/live`: those that hold, then each change, as server-sent events.
pub(crate) async fn live(State(state): State<ApiState>) -> Response {
    let inner = &state.0;
    let Ok(permit) = Arc::clone(&inner.listeners).try_acquire_owned() else {
        // Who gets this asks for the list now and then instead.
        return StatusCode::NO_CONTENT.into_response();
    };
    let listener = Listener {
        clock: inner.parts.clock.clone(),
        board: inner.parts.notices.board.subscribe(),
        known: Vec::new(),
        is_first: true,
        is_last: false,
        _permit: permit,
    };
    let events = stream::unfold(listener, |mut listener| async move {
        let events = listener.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(events)), listener))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

impl Listener {
    /// Waits for a change; the events that tell of it.
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.is_last || (!self.is_first && self.board.changed().await.is_err()) {
                return None;
            }
            self.is_first = false;
            let (now, is_closed) = {
                let board = self.board.borrow_and_update();
                (board.notices.clone(), board.is_closed)
            };
            self.is_last = is_closed;
            let mut events = String::new();
            let ended_at = self.clock.now_ms();
            for notice in self.known.iter().filter(|notice| !now.contains(notice)) {
                event(&mut events, &notice.text, ended_at, false);
            }
            for notice in now.iter().filter(|notice| !self.known.contains(notice)) {
                event(&mut events, &notice.text, notice.since, true);
            }
            self.known = now;
            if !events.is_empty() {
                return Some(events);
            }
        }
    }
}

fn event(out: &mut String, text: &str, at: i64, active: bool) {
    out.push_str("data: ");
    write(out, text, at, active);
    out.push_str("\n\n");
}

fn write(out: &mut String, text: &str, at: i64, active: bool) {
    out.push_str("{\"text\":");
    json::write_string(out, text);
    let _ = write!(out, ",\"date\":\"{}\",\"active\":{active}}}", json::rfc3339(at));
}

/// Room for so many listeners.
pub(crate) fn listeners(most: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
}
