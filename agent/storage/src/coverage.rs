//! How complete an answer is.

/// A range of time for which data is known to be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First missing millisecond.
    pub start: i64,
    /// Last missing millisecond.
    pub end: i64,
    /// Whose data, and why it is missing.
    pub why: String,
}

/// What an answer covers, one entry a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Per source: everything up to that time (milliseconds since the Unix epoch) is in the answer.
    pub complete_through: Vec<(String, i64)>,
    /// What is known to be missing.
    pub gaps: Vec<Gap>,
    /// Sentences for the reader of the answer.
    pub warnings: Vec<String>,
}

impl Coverage {
    /// Adds another source's coverage.
    pub fn merge(&mut self, other: Self) {
        self.complete_through.extend(other.complete_through);
        self.gaps.extend(other.gaps);
        for warning in other.warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}
