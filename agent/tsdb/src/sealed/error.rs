//! What can go wrong with sealed data.

use std::io;

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
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
}

impl From<Malformed> for SealedError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.0)
    }
}
