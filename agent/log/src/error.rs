//! What can go wrong with a log: the variant says what the caller does, the text names the file.

use std::io;
use std::path::{Path, PathBuf};

/// The log could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused; written and unwritten records stay in memory, try again later.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// So many bytes wait in memory for the disk that no more are taken.
    #[error("{bytes} bytes wait for the disk, at most {max}")]
    Full {
        /// Bytes that wait.
        bytes: usize,
        /// Bytes that may wait.
        max: usize,
    },
    /// A payload over [`crate::RECORD_MAX`].
    #[error("a record of {0} bytes, at most {max}", max = crate::RECORD_MAX)]
    TooLarge(usize),
    /// The bytes at that place are no intact record.
    #[error("{} offset {offset}: {what}", path.display())]
    Corrupt {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl LogError {
    /// Wraps an error of the operating system.
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// Whether the file is not there: its segment was removed meanwhile.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
