//! The store's housekeeping.

use std::sync::Arc;
use std::time::Duration;

use env::Tasks;
use tokio::time::{MissedTickBehavior, interval};
use tsdb::Store;

/// Lets a store turn windows, seal, and drop what is past its retention, every so often, until the tasks are stopped.
/// While `is_minimal` says so it only does what memory must have.
pub async fn maintain(store: Arc<Store>, every: Duration, is_minimal: impl Fn() -> bool, tasks: Tasks) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tasks.stopping() => return,
        }
        let (store, minimal) = (Arc::clone(&store), is_minimal());
        let work = move || if minimal { store.maintain_minimum() } else { store.maintain() };
        if tasks.spawn_blocking(work).await.is_err() {
            tracing::error!("the store's housekeeping panicked");
        }
    }
}

/// Lets a store put together past days, beside its other housekeeping: one takes many minutes, at a tenth of a core.
pub async fn compact(store: Arc<Store>, every: Duration, is_minimal: impl Fn() -> bool, tasks: Tasks) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tasks.stopping() => return,
        }
        if is_minimal() {
            continue;
        }
        let working = Arc::clone(&store);
        let mut work = tasks.spawn_blocking(move || working.compact());
        let done = tokio::select! {
            done = &mut work => done,
            () = tasks.stopping() => {
                store.stop_compacting();
                work.await
            }
        };
        if done.is_err() {
            tracing::error!("putting days together panicked");
        }
    }
}
