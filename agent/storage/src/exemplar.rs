//! Exemplars at the waist: single observations that stand behind samples, by series.

use model::{Exemplar, Labels, Matcher};

use crate::query::TimeRange;

/// What became of exemplars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarCounts {
    /// Taken.
    pub appended: usize,
    /// The series' newest one, once more.
    pub duplicates: usize,
    /// Before the series' newest one: dropped and counted, as Prometheus does.
    pub out_of_order: usize,
    /// Labels with more than [`model::EXEMPLAR_CHARACTERS_MAX`] characters: dropped.
    pub too_long: usize,
    /// Not taken because exemplars are not kept, or nothing is taken now.
    pub refused: usize,
}

impl ExemplarCounts {
    /// Adds what became of others.
    pub fn add(&mut self, other: Self) {
        self.appended += other.appended;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.too_long += other.too_long;
        self.refused += other.refused;
    }
}

/// A series' exemplars in order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// What names the series.
    pub labels: Labels,
    /// All have a time.
    pub exemplars: Vec<Exemplar>,
}

/// Something that can be asked for exemplars.
pub trait ExemplarQuerier: Send + Sync {
    /// Exemplars of a range, of series that pass all matchers of one of the sets, in order of labels.
    fn exemplars(&self, matcher_sets: &[Vec<Matcher>], range: TimeRange) -> Vec<SeriesExemplars>;
}
