//! Which series of two sides find each other, by the labels that count.

use model::METRIC_NAME;

use super::dense::{Dense, Row};
use super::keys::Numbering;
use crate::operator::Matching;

/// Both sides' series by the labels with which they find each other.
pub(super) struct Sides {
    /// Of each row of the left side its number.
    pub(super) left: Vec<u32>,
    pub(super) right: Vec<u32>,
    /// How many numbers there are.
    pub(super) count: usize,
}

impl Sides {
    pub(super) fn of(left: &Dense, right: &Dense, matching: &Matching) -> Self {
        let keep = |name: &str| {
            let named = matching.labels.iter().any(|label| label == name);
            if matching.on { named } else { name != METRIC_NAME && !named }
        };
        let mut numbering = Numbering::default();
        let (left, right) = (numbering.rows(left, keep), numbering.rows(right, keep));
        Self { left, right, count: numbering.count() }
    }
}

/// Positions by number.
pub(super) struct By {
    starts: Vec<u32>,
    positions: Vec<u32>,
}

impl By {
    pub(super) fn of(numbers: &[u32], count: usize) -> Self {
        let mut starts = vec![0; count + 1];
        for number in numbers {
            starts[*number as usize + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let (mut next, mut positions) = (starts.clone(), vec![0; numbers.len()]);
        for (at, number) in (0..).zip(numbers) {
            let place = &mut next[*number as usize];
            positions[*place as usize] = at;
            *place += 1;
        }
        Self { starts, positions }
    }

    /// The positions that have a number, in order.
    pub(super) fn with(&self, number: u32) -> &[u32] {
        let number = number as usize;
        &self.positions[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    /// Whether of any number two rows may have values at the same step.
    pub(super) fn any_meet(&self, rows: &[Row]) -> bool {
        (0..self.starts.len() as u32 - 1).map(|number| self.with(number)).any(|positions| {
            positions.len() > 1 && meet(positions.iter().map(|at| span(&rows[*at as usize])).collect())
        })
    }
}

/// Steps from the first to the one after the last.
pub(super) type Span = (u32, u32);

pub(super) fn span(row: &Row) -> Span {
    (row.first, row.end())
}

/// What two spans share.
pub(super) fn both(one: Span, other: Span) -> Option<Span> {
    let (from, to) = (one.0.max(other.0), one.1.min(other.1));
    (from < to).then_some((from, to))
}

/// Whether any two share a step.
pub(super) fn meet(mut spans: Vec<Span>) -> bool {
    if spans.len() < 2 {
        return false;
    }
    spans.sort_unstable();
    spans.windows(2).any(|pair| pair[1].0 < pair[0].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_by_number() {
        let by = By::of(&[2, 0, 2, 1, 2], 4);
        assert_eq!(
            [0, 1, 2, 3].map(|number| by.with(number).to_vec()),
            [vec![1], vec![3], vec![0, 2, 4], vec![]]
        );
    }

    #[test]
    fn spans_meet_where_they_share_a_step() {
        assert!(!meet(vec![(5, 9), (0, 3), (3, 5)]));
        assert!(meet(vec![(0, 3), (4, 9), (2, 4)]));
        assert_eq!((both((0, 3), (2, 9)), both((0, 3), (3, 4))), (Some((2, 3)), None));
    }
}
