//! Waiting for a condition instead of for a time.

use std::future::Future;
use std::time::Duration;

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks again and again until `look` gives a value.
///
/// # Panics
/// When `deadline` passes first, naming `what` was waited for.
pub async fn eventually<T, F, L>(what: &str, deadline: Duration, mut look: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let waited = tokio::time::timeout(deadline, async {
        loop {
            if let Some(value) = look().await {
                return value;
            }
            tokio::time::sleep(PAUSE).await;
        }
    })
    .await;
    waited.unwrap_or_else(|_| panic!("waited {} s in vain: {what}", deadline.as_secs()))
}
