//! What an administrator may do to the store over HTTP, where that is enabled.

use std::sync::Arc;

use env::{SharedClock, SharedRandom};
use model::Matcher;
use storage::{BoxFuture, TimeRange};
use tsdb::{AdminError, Store};

/// Lets the API delete series and make snapshots.
pub struct StoreAdmin {
    /// What it is done to.
    pub store: Arc<Store>,
    /// Names snapshots.
    pub clock: SharedClock,
    /// Makes their names unlike any other.
    pub random: SharedRandom,
}

impl StoreAdmin {
    /// Does it on a thread for work with files.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, AdminError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, String>> {
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            let done = tokio::task::spawn_blocking(move || work(&store)).await;
            done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
        })
    }
}

impl api::StoreAdmin for StoreAdmin {
    fn delete(&self, matchers: Vec<Matcher>, range: TimeRange) -> BoxFuture<'_, Result<(), String>> {
        self.run(move |store| store.delete_series(matchers, range))
    }

    fn clean(&self) -> BoxFuture<'_, Result<(), String>> {
        self.run(Store::clean_tombstones)
    }

    fn snapshot(&self, skip_head: bool) -> BoxFuture<'_, Result<String, String>> {
        let now = jiff::Timestamp::from_millisecond(self.clock.now_ms()).unwrap_or_default();
        let name = format!("{}-{:016x}", now.strftime("%Y%m%dT%H%M%SZ"), self.random.next_u128() as u64);
        self.run(move |store| store.snapshot(&name, skip_head).map(|()| name))
    }
}
