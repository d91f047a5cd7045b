//! Which of two values for one series and time stays: one rule for the head, for merging and for repair.

use std::cmp::Ordering;

use crate::stream::StreamId;

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank<'a> {
    /// Whose stream.
    pub stream: &'a StreamId,
    /// The frame's number in that stream, then the row's place in the frame.
    pub sequence: (u64, u32),
    /// Whether the value is the stale marker.
    pub stale: bool,
}

/// Whether `new` replaces `old`. Inside one stream the first in sequence stays, as in Prometheus;
/// between streams a number beats a stale marker, then the smaller (agent, epoch) stays. A total
/// order whatever arrived first, so replicas that hold the same frames give the same answers.
#[must_use]
pub fn wins(new: &Rank<'_>, old: &Rank<'_>) -> bool {
    let order = if new.stream == old.stream {
        new.sequence.cmp(&old.sequence)
    } else {
        new.stale.cmp(&old.stale).then_with(|| new.stream.cmp(old.stream))
    };
    order == Ordering::Less
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Epoch;

    #[test]
    fn first_in_sequence_then_number_then_smaller_stream() {
        let a = StreamId { agent: "a".into(), epoch: Epoch(1) };
        let b = StreamId { agent: "b".into(), epoch: Epoch(1) };
        let rank = |stream, sequence, stale| Rank { stream, sequence, stale };
        assert!(wins(&rank(&a, (1, 0), true), &rank(&a, (1, 1), false)));
        assert!(wins(&rank(&b, (9, 0), false), &rank(&a, (1, 0), true)));
        assert!(wins(&rank(&a, (9, 0), false), &rank(&b, (1, 0), false)));
        assert!(!wins(&rank(&a, (1, 0), false), &rank(&a, (1, 0), false)));
    }
}
