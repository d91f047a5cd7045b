//! The store's housekeeping, and the process's own.

use std::sync::Arc;
use std::time::Duration;

use env::Tasks;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};
use tsdb::Store;

/// After this a start is over, its log read and its targets' first pages parsed.
const SETTLED: Duration = Duration::from_secs(60);
/// Between two times of giving back: a page that is used more often than this costs a fault in so long.
const GIVE_BACK: Duration = Duration::from_secs(300);

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

/// Gives back the program's pages that nothing used lately, soon after the start and then every so often: what runs
/// all the time is a small part of a program, and comes back with its next use.
pub async fn give_back_program(tasks: Tasks) {
    let mut ticks = interval_at(Instant::now() + SETTLED, GIVE_BACK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = tasks.stopping() => return,
        }
        match tasks.spawn_blocking(env::give_back_program).await {
            Ok(Ok(bytes)) => tracing::debug!(bytes, "gave back pages of the program"),
            // A kernel without /proc or with a filter for system calls: it will not say otherwise later.
            Ok(Err(error)) => {
                tracing::debug!(%error, "pages of the program can not be given back");
                return;
            }
            Err(error) => tracing::error!(%error, "giving back pages of the program panicked"),
        }
    }
}
