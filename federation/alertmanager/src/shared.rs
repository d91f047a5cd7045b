//! The state behind a lock, as consensus drives it and as the parts of a node follow it.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;

use crate::command::{Applied, Command, Rejection, Reply};
use crate::state::{Changes, State};

/// The replicated state of one node; clones share it.
///
/// `federation/src` adapts it to consensus: the three plain methods are a state machine's.
#[derive(Clone, Default)]
pub struct SharedState(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: RwLock<State>,
    feeds: Mutex<Vec<Weak<FeedInner>>>,
}

impl fmt::Debug for SharedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedState").field("index", &self.0.state.read().index).finish_non_exhaustive()
    }
}

impl SharedState {
    /// An empty state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn from_state(state: State) -> Self {
        Self(Arc::new(Shared { state: RwLock::new(state), feeds: Mutex::default() }))
    }

    /// Applies an encoded command and returns the encoded reply.
    #[must_use]
    pub fn apply(&self, at: Applied, bytes: &[u8]) -> Vec<u8> {
        match Command::decode(bytes) {
            Some(command) => self.apply_command(at, command),
            None => Reply::Rejected(Rejection::Malformed),
        }
        .encode()
    }

    /// Applies a command.
    pub fn apply_command(&self, at: Applied, command: Command) -> Reply {
        self.apply_changes(at, command).0
    }

    pub(crate) fn apply_changes(&self, at: Applied, command: Command) -> (Reply, Changes) {
        let mut state = self.0.state.write();
        let reply = state.apply(at, command);
        let changes = std::mem::take(&mut state.changes);
        drop(state);
        self.tell(&changes);
        (reply, changes)
    }

    /// The whole state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.0.state.read().snapshot()
    }

    /// Replaces the whole state.
    ///
    /// # Errors
    /// When `bytes` are no snapshot; the state is then unchanged.
    pub fn restore(&self, bytes: &[u8]) -> Result<(), String> {
        let mut restored =
            State::restore(bytes).ok_or_else(|| "the bytes are no alertmanager snapshot".to_owned())?;
        let changes = std::mem::take(&mut restored.changes);
        *self.0.state.write() = restored;
        self.tell(&changes);
        Ok(())
    }

    /// Looks at the state; nothing is applied meanwhile, so be quick.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.state.read())
    }

    /// Follows the state from now on; the first look finds that everything may have changed.
    pub(crate) fn feed(&self) -> Feed {
        let inner = Arc::new(FeedInner {
            changes: Mutex::new(Changes { all: true, ..Changes::default() }),
            news: Notify::new(),
        });
        let mut feeds = self.0.feeds.lock();
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(&inner));
        Feed(inner)
    }

    /// Followers care for alerts and silences only.
    fn tell(&self, changes: &Changes) {
        if !changes.all && changes.alerts.is_empty() && changes.silences.is_empty() {
            return;
        }
        for feed in self.0.feeds.lock().iter().filter_map(Weak::upgrade) {
            feed.changes.lock().add_followed(changes);
            feed.news.notify_one();
        }
    }
}

struct FeedInner {
    changes: Mutex<Changes>,
    news: Notify,
}

/// What changed in a state since one follower last looked. Holds at most one mark for each alert.
pub(crate) struct Feed(Arc<FeedInner>);

impl Feed {
    /// Resolves when there may be something to take.
    pub(crate) async fn changed(&self) {
        self.0.news.notified().await;
    }

    /// What changed since the last call.
    pub(crate) fn take(&self) -> Changes {
        std::mem::take(&mut *self.0.changes.lock())
    }
}
