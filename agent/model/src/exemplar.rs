//! Exemplars: single observations that stand behind a sample.

use crate::labels::Labels;

/// Characters that the names and values of an exemplar's labels may have together (OpenMetrics).
pub const EXEMPLAR_CHARACTERS_MAX: usize = 128;

/// One observation behind a sample, often with the id of its trace.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// What names it; not the labels of its series.
    pub labels: Labels,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch. Without it the sample's time counts.
    pub timestamp: Option<i64>,
}

impl Exemplar {
    /// Whether its labels have at most [`EXEMPLAR_CHARACTERS_MAX`] characters. Longer ones are not stored.
    #[must_use]
    pub fn fits(&self) -> bool {
        let characters =
            |(name, value): (&str, &str)| name.chars().count().saturating_add(value.chars().count());
        self.labels.pairs().map(characters).fold(0, usize::saturating_add) <= EXEMPLAR_CHARACTERS_MAX
    }
}

/// Equal when labels, time and bits of the value are: NaN equals the same NaN.
impl PartialEq for Exemplar {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
            && self.value.to_bits() == other.value.to_bits()
            && self.timestamp == other.timestamp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_counted_in_characters() {
        for (value, fits) in [("x".repeat(127), true), ("é".repeat(127), true), ("x".repeat(128), false)] {
            let labels = Labels::from_pairs([("a", value.as_str())]);
            assert_eq!(Exemplar { labels, value: 1.0, timestamp: None }.fits(), fits, "{value}");
        }
    }
}
