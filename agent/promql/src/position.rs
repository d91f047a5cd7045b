//! Where something stands in a query, and the error that says so.

use std::fmt;

/// A stretch of a query's text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosRange {
    /// First byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
    /// Line of `start`, from 1; 0 where the query is empty and has no place at all.
    pub line: u32,
    /// Column of `start` in bytes, from 1.
    pub column: u32,
}

impl PosRange {
    /// The range from `start` to `end` in `text`.
    #[must_use]
    pub fn new(text: &str, start: usize, end: usize) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        let start = start.min(text.len());
        let before = &text.as_bytes()[..start];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        Self { start, end: end.max(start), line: narrow(line), column: narrow(start - line_start + 1) }
    }

    /// The range from the start of this one to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end, ..self }
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Writes `line:column`, as Prometheus ends its annotations.
impl fmt::Display for PosRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str("unknown position");
        }
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A text that is no PromQL, and where it stops being so. Prints as `1:5: parse error: message`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{range}: parse error: {message}")]
pub struct ParseError {
    /// The offending part.
    pub range: PosRange,
    /// What is wrong, in Prometheus's words where it has some.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        let text = "a +\n  b";
        for (start, shown) in [(0, "1:1"), (2, "1:3"), (4, "2:1"), (6, "2:3"), (99, "2:4")] {
            assert_eq!(PosRange::new(text, start, start).to_string(), shown, "{start}");
        }
        assert_eq!(PosRange::new("", 0, 0).to_string(), "unknown position");
    }
}
