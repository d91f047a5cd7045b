//! What is wrong with a page, and where.

/// A line that is not as the format wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// What is there, and what is expected.
    pub what: String,
}

/// A protobuf page that is not as the format wants it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset}: {what}")]
pub struct ProtobufError {
    /// Where in the page, from 0.
    pub offset: usize,
    /// What is there, and what is expected.
    pub what: String,
}
