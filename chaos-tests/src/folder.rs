//! A folder for one test, and the turn that a test takes.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until no other test of this file runs: each starts several processes.
pub async fn alone() -> MutexGuard<'static, ()> {
    TURN.lock().await
}

/// A test's own folder, gone when it is dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// Makes one. With `VEDETTE_KEEP` set it stays, and its path is printed.
    ///
    /// # Panics
    /// When the host has no room for temporary files.
    #[must_use]
    #[allow(clippy::print_stderr, reason = "who keeps a folder wants to know where")]
    #[allow(clippy::new_without_default, reason = "it makes a folder on the host")]
    pub fn new() -> Self {
        let mut folder = TempDir::with_prefix("vedette-").expect("a temporary folder");
        if std::env::var_os("VEDETTE_KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("kept: {}", folder.path().display());
        }
        Self(folder)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file of this name and gives its path.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, text).expect("a writable folder");
        path
    }
}
