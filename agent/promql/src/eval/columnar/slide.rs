//! Functions over windows that overlap: what one window found out is of use for the next. Only where that gives the
//! very bits that each window by itself gives.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::super::kahan::{Kahan, Mean, Rank};
use super::axis::Axis;

/// Whole numbers up to this are added without rounding.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// From so many rows of all windows for each row on, keeping something from window to window is worth it.
const OVERLAP: u64 = 3;
/// Windows that are summed up side by side: no sum waits for another.
const ABREAST: usize = 4;

/// Memory that is used again for every series.
#[derive(Debug, Default)]
pub(super) struct Slide {
    queue: VecDeque<u32>,
    sums: Vec<f64>,
    sorted: Vec<f64>,
}

/// Whether windows overlap so much that it is worth it.
fn overlaps(axis: &Axis) -> bool {
    axis.total > OVERLAP * axis.times.len() as u64
}

/// The smallest or largest number of each window; of equal ones the first, and any number beats NaN. False where each
/// window should be looked at by itself.
pub(super) fn extremes(
    axis: &Axis,
    values: &[f64],
    out: &mut [f64],
    slide: &mut Slide,
    beats: impl Fn(f64, f64) -> bool,
) -> bool {
    if !overlaps(axis) {
        return false;
    }
    // Those that may still win: each is beaten by none that came after it.
    let queue = &mut slide.queue;
    queue.clear();
    let mut next = 0;
    for (out, &(from, to)) in out.iter_mut().zip(&axis.windows) {
        if to == from {
            continue;
        }
        next = next.max(from);
        for at in next..to {
            let value = values[at as usize];
            if value.is_nan() {
                continue;
            }
            while queue.back().is_some_and(|last| beats(value, values[*last as usize])) {
                queue.pop_back();
            }
            queue.push_back(at);
        }
        next = next.max(to);
        while queue.front().is_some_and(|first| *first < from) {
            queue.pop_front();
        }
        *out = queue.front().map_or(f64::NAN, |first| values[*first as usize]);
    }
    true
}

/// Sums or means of each window.
pub(super) fn totals(axis: &Axis, values: &[f64], out: &mut [f64], slide: &mut Slide, is_mean: bool) {
    if overlaps(axis) && exact_sums(values, &mut slide.sums) {
        for (out, &(from, to)) in out.iter_mut().zip(&axis.windows) {
            if to > from {
                let sum = slide.sums[to as usize] - slide.sums[from as usize];
                *out = if is_mean { sum / f64::from(to - from) } else { sum };
            }
        }
        return;
    }
    for (out, windows) in out.chunks_mut(ABREAST).zip(axis.windows.chunks(ABREAST)) {
        let sums = if let Ok(windows) = <&[(u32, u32); ABREAST]>::try_from(windows) {
            abreast(values, windows)
        } else {
            let mut sums = [Kahan::default(); ABREAST];
            for (sum, &(from, to)) in sums.iter_mut().zip(windows) {
                *sum = total(Kahan::default(), &values[from as usize..to as usize]);
            }
            sums
        };
        for ((out, &(from, to)), sum) in out.iter_mut().zip(windows).zip(sums) {
            if to == from {
                continue;
            }
            *out = match (is_mean, sum.sum.is_finite()) {
                (false, _) => sum.total(),
                (true, true) => sum.sum / f64::from(to - from) + sum.lost / f64::from(to - from),
                (true, false) => mean(&values[from as usize..to as usize]),
            };
        }
    }
}

/// The mean of one window; there are numbers in it.
fn mean(inside: &[f64]) -> f64 {
    inside[1..].iter().copied().fold(Mean::of(inside[0]), Mean::plus).value()
}

/// Sums up to each number, where none is rounded: then differences of them are sums.
fn exact_sums(values: &[f64], sums: &mut Vec<f64>) -> bool {
    sums.clear();
    sums.push(0.0);
    let (mut sum, mut size) = (0.0, 0.0);
    for value in values {
        sum += value;
        size += value.abs();
        sums.push(sum);
    }
    size < EXACT && values.iter().all(|value| value.trunc() == *value)
}

/// The sums of windows that are about as long as each other, row by row.
fn abreast(values: &[f64], windows: &[(u32, u32); ABREAST]) -> [Kahan; ABREAST] {
    let inside = windows.map(|(from, to)| &values[from as usize..to as usize]);
    let common = inside.iter().map(|inside| inside.len()).min().unwrap_or(0);
    let parts = inside.map(|inside| &inside[..common]);
    let mut sums = [Kahan::default(); ABREAST];
    for at in 0..common {
        for (sum, part) in sums.iter_mut().zip(parts) {
            *sum = plus(*sum, part[at]);
        }
    }
    for (sum, inside) in sums.iter_mut().zip(inside) {
        *sum = total(*sum, &inside[common..]);
    }
    sums
}

fn total(sum: Kahan, values: &[f64]) -> Kahan {
    values.iter().copied().fold(sum, plus)
}

/// [`Kahan::plus`] without branches.
fn plus(sum: Kahan, value: f64) -> Kahan {
    let total = sum.sum + value;
    let is_larger = sum.sum.abs() >= value.abs();
    let (large, small) = if is_larger { (sum.sum, value) } else { (value, sum.sum) };
    let rest = sum.lost + ((large - total) + small);
    Kahan { sum: total, lost: if total.is_infinite() { 0.0 } else { rest } }
}

/// The quantile of each window, `phi` at each step. False where each window should be looked at by itself: zeros of
/// both signs are equal and yet two.
pub(super) fn quantiles(
    axis: &Axis,
    values: &[f64],
    out: &mut [f64],
    slide: &mut Slide,
    phi: &[f64],
) -> bool {
    let is_negative_zero = |value: &f64| *value == 0.0 && value.is_sign_negative();
    if phi.iter().any(|phi| !(0.0..=1.0).contains(phi)) || values.iter().any(is_negative_zero) {
        return false;
    }
    let sorted = &mut slide.sorted;
    sorted.clear();
    let mut held = (0, 0);
    for ((out, &(from, to)), phi) in out.iter_mut().zip(&axis.windows).zip(phi) {
        if to == from {
            continue;
        }
        let moved = u64::from(from.abs_diff(held.0)) + u64::from(to.abs_diff(held.1));
        let rank = Rank::of(*phi, (to - from) as usize);
        if moved * 16 > u64::from(to - from) || from > held.1 {
            // Too many others: only the two that are asked for are found.
            sorted.clear();
            sorted.extend_from_slice(&values[from as usize..to as usize]);
            held = (from, to);
            if moved * 16 > u64::from(to - from) * 8 {
                *out = picked(sorted, rank);
                held = (to, to);
                sorted.clear();
                continue;
            }
            sorted.sort_unstable_by(order);
        } else {
            for at in held.0..from {
                let place = place(sorted, values[at as usize]);
                sorted.remove(place);
            }
            for at in held.1..to {
                let place = place(sorted, values[at as usize]);
                sorted.insert(place, values[at as usize]);
            }
            held = (from, to);
        }
        *out = rank.between(sorted[rank.lower], sorted[rank.upper]);
    }
    true
}

/// The quantile of numbers in any order.
fn picked(values: &mut [f64], rank: Rank) -> f64 {
    let (_, lower, above) = values.select_nth_unstable_by(rank.lower, order);
    let lower = *lower;
    let upper =
        if rank.upper == rank.lower { lower } else { above.iter().copied().min_by(order).unwrap_or(lower) };
    rank.between(lower, upper)
}

/// NaN is below everything.
fn order(a: &f64, b: &f64) -> Ordering {
    b.is_nan().cmp(&a.is_nan()).then(a.partial_cmp(b).unwrap_or(Ordering::Equal))
}

/// Where a number is, or where it belongs.
fn place(sorted: &[f64], value: f64) -> usize {
    sorted.partition_point(|other| order(other, &value) == Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::super::super::kahan::quantile;
    use super::super::axis::Extrapolation;
    use super::*;

    /// Numbers of all kinds, and windows that overlap or not.
    fn data(kind: u64, step: i64, range: i64) -> (Axis, Vec<f64>) {
        let mut state = kind + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let values = (0..400).map(|_| match (kind, next() % 20) {
            (0, _) => (next() % 1_000) as f64,
            (1, _) => (next() % 1_000) as f64 / 7.0,
            (2, 0) => f64::NAN,
            (2, 1) => f64::INFINITY,
            (2, 2) => 1e308,
            (2, _) => next() as f64 / 3.0,
            (_, 0) => f64::NAN,
            (_, _) => (next() % 5) as f64,
        });
        let values: Vec<f64> = values.collect();
        let bounds: Vec<(i64, i64)> = (0..60).map(|at| (at * step - range, at * step)).collect();
        let mut axis = Axis::default();
        let times: Vec<i64> = (0..400).map(|at| at * 10).collect();
        axis.set_own(&times, &bounds, Extrapolation::None);
        (axis, values)
    }

    fn check(what: &str, got: &[f64], axis: &Axis, values: &[f64], of: impl Fn(&[f64]) -> f64) {
        for (at, (from, to)) in axis.windows.iter().enumerate().filter(|(_, (from, to))| to > from) {
            let wanted = of(&values[*from as usize..*to as usize]);
            let is_same = wanted.to_bits() == got[at].to_bits() || wanted.is_nan() && got[at].is_nan();
            assert!(is_same, "{what} of window {at}: {wanted} and not {}", got[at]);
        }
    }

    #[test]
    fn windows_side_by_side_are_windows_by_themselves() {
        let cases = [(10, 1_000), (60, 2_000), (500, 500), (500, 100), (7, 3)];
        for (kind, (step, range)) in (0..4).flat_map(|kind| cases.map(|case| (kind, case))) {
            let (axis, values) = data(kind, step, range);
            let (mut out, mut slide) = (vec![0.0; 60], Slide::default());
            totals(&axis, &values, &mut out, &mut slide, false);
            let sum = |inside: &[f64]| inside.iter().copied().fold(Kahan::default(), Kahan::plus).total();
            check("sum", &out, &axis, &values, sum);
            totals(&axis, &values, &mut out, &mut slide, true);
            check("mean", &out, &axis, &values, mean);
            if extremes(&axis, &values, &mut out, &mut slide, |new, old| new > old) {
                let largest = |inside: &[f64]| inside.iter().copied().fold(f64::NAN, f64::max);
                check("largest", &out, &axis, &values, largest);
            }
            for phi in [0.0, 0.3, 0.95, 1.0] {
                assert!(quantiles(&axis, &values, &mut out, &mut slide, &[phi; 60]));
                check("quantile", &out, &axis, &values, |inside| quantile(phi, &mut inside.to_vec()));
            }
        }
    }
}
