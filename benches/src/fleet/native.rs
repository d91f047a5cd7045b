//! The native histogram of a web application, `native_latency_seconds`: text pages cannot hold one, so that it travels
//! by remote write alone.

use super::plan::{Kind, Plan, Purpose};
use super::targets;
use super::wire::{Histogram, WriteBody, histogram_request, named};

/// Four buckets for each doubling.
const SCHEMA: i32 = 2;
/// The first bucket ends at 2^(FIRST / 4) seconds: 1 ms.
const FIRST: i32 = -39;
/// The last one ends at 8 s.
const BUCKETS: usize = 52;
/// Requests a second.
const RATE: f64 = 40.0;

/// A web host's histogram at a slot as a request of its own; none of other hosts. What it counts only grows.
#[must_use]
pub fn native_request(plan: &Plan, host: usize, slot: u64) -> Option<WriteBody> {
    if plan.kind(host) != Kind::Web {
        return None;
    }
    let labels = named(&targets::target(plan, host, slot), "native_latency_seconds");
    Some(histogram_request(&labels, histogram(plan, host, slot)))
}

/// Durations around the host's median, log-normal; each bucket has had its share of the requests so far.
fn histogram(plan: &Plan, host: usize, slot: u64) -> Histogram {
    let mut draws = plan.draws(Purpose::Shape, host, u64::MAX);
    let median = 0.02 * (1.0 + 4.0 * draws.unit());
    let requests = RATE * (0.5 + draws.unit()) * plan.interval_ms as f64 / 1_000.0 * (slot + 100) as f64;
    let (mut sum, mut before) = (0.0, 0);
    let mut deltas = Vec::with_capacity(BUCKETS);
    for bucket in 0..BUCKETS {
        let bound = 2f64.powf(f64::from(FIRST + bucket as i32) / 4.0);
        let distance = (bound / median).ln() / 0.6;
        let weight = (-distance * distance / 2.0).exp() * 0.115;
        let here = (requests * weight) as i64;
        sum += here as f64 * bound * 0.92;
        deltas.push(here - before);
        before = here;
    }
    Histogram::new(SCHEMA, FIRST, deltas, sum, plan.scraped_at(host, slot))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::plan;

    #[test]
    fn counts_only_grow_and_add_up() {
        let plan = Plan { kinds: vec![Kind::Web], ..plan(1) };
        let counts = |slot| {
            let histogram = histogram(&plan, 0, slot);
            let counts = histogram.deltas.iter().scan(0, |count, delta| {
                *count += delta;
                Some(*count)
            });
            let counts: Vec<i64> = counts.collect();
            assert_eq!(histogram.count, counts.iter().sum::<i64>() as u64);
            counts
        };
        let all = [0, 1, 7, 5_000].map(counts);
        assert!(all[0].iter().any(|count| *count > 100), "{all:?}");
        for pair in all.windows(2) {
            assert!(pair[0].iter().zip(&pair[1]).all(|(before, after)| before <= after));
        }
        assert!(native_request(&Plan { kinds: vec![Kind::Blackbox], ..plan.clone() }, 0, 0).is_none());
    }
}
