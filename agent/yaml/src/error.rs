//! Errors that name their place: `file:line:column: what, and what is expected`.

use std::fmt;
use std::sync::Arc;

/// A place in a text, counted from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Position {
    /// The first character of a file.
    pub const START: Self = Self { line: 1, column: 1 };
}

/// A message about one place of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The file's name as it was given.
    pub file: Arc<str>,
    /// Where in it.
    pub at: Position,
    /// What is wrong there, and what is expected.
    pub message: String,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.at.line, self.at.column, self.message)
    }
}

impl std::error::Error for Located {}

/// Everything that is wrong with a configuration, in order of place; never empty. Prints one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Located>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(error, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl From<Located> for ConfigErrors {
    fn from(error: Located) -> Self {
        Self(vec![error])
    }
}
