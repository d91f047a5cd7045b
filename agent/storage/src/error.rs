//! What can go wrong at the waist. The variant says what the caller does; the text says where it happened.

use model::Labels;

/// A row was not appended.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The layout reference is from an earlier epoch: register the layout again and retry.
    #[error("the layout is outdated")]
    Relayout,
    /// The layout can never be used: a bug of the caller's or a page that says one thing twice.
    #[error("invalid layout: {0}")]
    Layout(String),
    /// The row does not fit its layout.
    #[error("a row has {cells} cells, its layout {slots} slots")]
    Width {
        /// Cells of the row.
        cells: usize,
        /// Slots of its layout.
        slots: usize,
    },
    /// The memory that the store may have is used up: no new series is begun, those that are there go on.
    #[error(
        "memory limit exceeded ({new} new series refused, in use: {used} bytes, limit: {max} bytes, \
         --storage.memory-limit)"
    )]
    Memory {
        /// Series of the layout that the store does not have.
        new: usize,
        /// Bytes in use.
        used: u64,
        /// Bytes that may be.
        max: u64,
    },
    /// The store cannot take data now: try again later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// A frame was not taken or given.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes are wrong: the sender's or the disk's. Never retried as they are.
    #[error("frame {seq} of stream {stream}: {what}")]
    Corrupt {
        /// The stream, as text: it may not be known.
        stream: String,
        /// The number that the frame claims.
        seq: u64,
        /// What is wrong.
        what: String,
    },
    /// The stream was never opened here.
    #[error("stream {0} is unknown: open it first")]
    UnknownStream(String),
    /// The store cannot take or give frames now: try again later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}

/// A selection gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// A limit was reached; the text names it and its setting.
    #[error("{0}")]
    Limit(String),
    /// Reading failed.
    #[error("reading {series}: {what}")]
    Storage {
        /// What was read.
        series: Labels,
        /// What happened.
        what: String,
    },
    /// The store cannot answer now.
    #[error("store unavailable: {0}")]
    Unavailable(String),
}
