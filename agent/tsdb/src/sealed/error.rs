//! What can go wrong with sealed data.

use std::io;

use rocksdb::ErrorKind;
use storage::QueryError;

use crate::bytes::Malformed;
use crate::codec::CodecError;
use crate::spill::SpillError;

/// Sealed data that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealedError {
    #[error(transparent)]
    Db(#[from] rocksdb::Error),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("{0}")]
    Malformed(&'static str),
    /// The head's own file or memory: the log has the same.
    #[error(transparent)]
    Head(#[from] SpillError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Log(#[from] storage::FrameError),
    /// The database is damaged, and a write to it has failed.
    #[error("a write to the damaged database has failed: nothing more is written to it until the next start")]
    WriteFailed,
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
}

impl SealedError {
    /// Whether the bytes are wrong or gone. Anything else, as a disk that does not answer or too many open files,
    /// may be over the next time.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Self::Codec(_) | Self::Malformed(_) => true,
            Self::Db(error) => match error.kind() {
                ErrorKind::Corruption | ErrorKind::NotFound => true,
                ErrorKind::InvalidArgument | ErrorKind::NotSupported => true,
                // The database tells these apart by their text alone.
                ErrorKind::IOError => {
                    let what = error.as_ref();
                    GONE.iter().any(|gone| what.contains(gone))
                }
                _ => false,
            },
            Self::Head(_) | Self::Io(_) | Self::Log(_) => false,
            Self::WriteFailed | Self::Stopped => false,
        }
    }
}

/// What the operating system says where a file is not there, or a folder stands in its place.
const GONE: [&str; 3] = ["No such file", "Is a directory", "Not a directory"];

impl From<SealedError> for QueryError {
    fn from(error: SealedError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Malformed> for SealedError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}
