//! Signals: SIGHUP reloads, SIGTERM and Ctrl-C stop.

use std::sync::Arc;

use env::Tasks;
use tokio::signal::unix::{SignalKind, signal};

use crate::lifecycle::Life;

/// Watches for signals in the background.
///
/// # Errors
/// When the operating system gives no signal handlers.
pub fn watch(life: &Arc<Life>, tasks: &Tasks) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (life, watched) = (Arc::clone(life), tasks.clone());
    tasks.spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {
                    // The outcome is logged where it is decided.
                    let _ = life.ask_reload().await;
                }
                _ = terminate.recv() => break tracing::warn!(signal = "terminated", "Received an OS signal, exiting gracefully..."),
                _ = interrupt.recv() => break tracing::warn!(signal = "interrupt", "Received an OS signal, exiting gracefully..."),
                () = watched.stopping() => break,
            }
        }
        watched.stop();
    });
    Ok(())
}
