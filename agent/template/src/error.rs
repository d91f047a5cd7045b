//! What can go wrong with a template. The texts are Go's.

/// A text that is no template: `template: NAME:LINE: WHAT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template: {name}:{line}: {what}")]
pub struct ParseError {
    /// The template's name.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub what: String,
}

/// Why a template gave no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// It cannot be executed with this data: `template: NAME:LINE:COLUMN: executing "NAME" at <NODE>: WHAT`.
    #[error("{0}")]
    Failed(String),
    /// It needs the answer to a query that is not known yet: find it and execute again.
    #[error("the answer to {0:?} is not known yet")]
    NeedsQuery(String),
}

/// Why a function gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// What is wrong.
    #[error("{0}")]
    Failed(String),
    /// The answer to this query must be found first.
    #[error("the answer to {0:?} is not known yet")]
    NeedsQuery(String),
}

impl From<String> for CallError {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

impl From<&str> for CallError {
    fn from(what: &str) -> Self {
        Self::Failed(what.to_owned())
    }
}
