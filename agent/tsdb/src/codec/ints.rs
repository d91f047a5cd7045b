//! A run of up to 128 integers: predicted, packed at one width, the few that are wider patched.
//!
//! The run is written from its end, so that its last integer is read without the others.

use super::bits::{PACKED_MAX, pack, packed_len, unpack};
use super::packing::{Plan, START_COST, Survey};
use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};

/// Bits 0 and 1 of a column's head: what an integer is predicted from.
pub(super) const HEAD_PREDICTOR: u8 = 3;
/// Set in a column's head where patches follow the packing.
const HEAD_PATCHES: u8 = 1 << 5;
/// Set in a column's head where all residuals end in the same bits.
const HEAD_SHIFT: u8 = 1 << 6;

/// All integers are the same.
pub(super) const CONSTANT: u8 = 0;
/// From nothing.
const ORDER_0: u8 = 1;
/// From one neighbour.
const DELTA: u8 = 2;
/// From the line through two neighbours.
const DELTA_OF_DELTA: u8 = 3;

/// Appends at most 128 integers, and gives the bits for the column's head.
pub(super) fn put(ints: &[i64], out: &mut Vec<u8>) -> u8 {
    let Some((&last, earlier)) = ints.split_last() else { return CONSTANT };
    if earlier.iter().all(|int| *int == last) {
        put_zigzag(out, last);
        return CONSTANT;
    }
    // Order 0, delta and delta of delta of the run from its end; each order has one value less.
    let mut orders = [[0i64; PACKED_MAX]; 3];
    for (to, from) in orders[0].iter_mut().zip(ints.iter().rev()) {
        *to = *from;
    }
    let mut best: Option<(usize, Survey)> = None;
    for order in 0..ints.len().min(3) {
        let count = ints.len() - order;
        if order > 0 {
            let (lower, upper) = orders.split_at_mut(order);
            for (to, pair) in upper[0].iter_mut().zip(lower[order - 1][..=count].windows(2)) {
                *to = pair[1].wrapping_sub(pair[0]);
            }
        }
        let mut found = Survey::of(&orders[order][..count]);
        found.bits += START_COST * order as u32;
        if best.is_some_and(|(_, best)| found.bits >= best.bits) {
            // What differences do not make smaller, differences of those do not either.
            break;
        }
        best = Some((order, found));
    }
    let Some((order, survey)) = best else { return CONSTANT };
    let plan = survey.plan(order as u8 + 1, &orders[order][..ints.len() - order]);
    for start in &orders[..order] {
        put_zigzag(out, start[0]);
    }
    put_plan(plan, &orders[order][..ints.len() - order], out)
}

fn put_plan(plan: Plan, residuals: &[i64], out: &mut Vec<u8>) -> u8 {
    let mut packed = [0u64; PACKED_MAX];
    for (to, residual) in packed.iter_mut().zip(residuals) {
        *to = residual.wrapping_sub(plan.base) as u64 >> plan.shift;
    }
    let packed = &packed[..residuals.len()];
    let mut head = plan.predictor;
    put_zigzag(out, plan.base);
    out.push(plan.width as u8);
    if plan.shift > 0 {
        head |= HEAD_SHIFT;
        out.push(plan.shift as u8);
    }
    pack(packed, plan.width, out);
    if plan.patches > 0 {
        head |= HEAD_PATCHES;
        out.push(plan.patches as u8);
        for (at, value) in packed.iter().enumerate().filter(|(_, value)| **value >> plan.width != 0) {
            out.push(at as u8);
            put_varint(out, value >> plan.width);
        }
    }
    head
}

/// What stands before the packing.
struct Opening<'a> {
    /// Last integer, then the delta before it.
    starts: [i64; 2],
    base: i64,
    width: u32,
    shift: u32,
    packed: &'a [u8],
}

impl<'a> Opening<'a> {
    fn read(reader: &mut Reader<'a>, head: u8, count: usize) -> Result<Self, Malformed> {
        let order = usize::from((head & HEAD_PREDICTOR).saturating_sub(1));
        let residuals = count.checked_sub(order).filter(|&count| count > 0 && count <= PACKED_MAX);
        let residuals = residuals.ok_or(Malformed("a predictor without residuals"))?;
        let mut starts = [0; 2];
        for start in &mut starts[..order] {
            *start = reader.zigzag()?;
        }
        let base = reader.zigzag()?;
        let width = u32::from(reader.byte()?);
        let shift = if head & HEAD_SHIFT == 0 { 0 } else { u32::from(reader.byte()?) };
        if width > 64 || shift > 63 {
            return Err(Malformed("a width over 64 bits"));
        }
        let packed = reader.take(packed_len(residuals, width))?;
        Ok(Self { starts, base, width, shift, packed })
    }

    fn residual(&self, packed: u64) -> i64 {
        self.base.wrapping_add((packed << self.shift) as i64)
    }
}

/// Fills `out`, at most 128 integers, from what `put` wrote for as many.
pub(super) fn read(reader: &mut Reader<'_>, head: u8, out: &mut [i64]) -> Result<(), Malformed> {
    if out.is_empty() {
        return Ok(());
    }
    if head & HEAD_PREDICTOR == CONSTANT {
        out.fill(reader.zigzag()?);
        return Ok(());
    }
    let opening = Opening::read(reader, head, out.len())?;
    let order = usize::from((head & HEAD_PREDICTOR) - 1);
    let mut packed = [0u64; PACKED_MAX];
    let packed = &mut packed[..out.len() - order];
    unpack(opening.packed, opening.width, packed);
    patches(reader, head, opening.width, |at, high| {
        let place = packed.get_mut(at).ok_or(Malformed("a patch behind the last residual"))?;
        *place |= high;
        Ok(())
    })?;
    let mut backwards = out.iter_mut().rev();
    let [mut int, mut delta] = opening.starts;
    match head & HEAD_PREDICTOR {
        ORDER_0 => {
            for (to, &packed) in backwards.zip(&*packed) {
                *to = opening.residual(packed);
            }
        }
        DELTA => {
            // The start itself, then one more for each residual.
            backwards.next().into_iter().for_each(|to| *to = int);
            for (to, &packed) in backwards.zip(&*packed) {
                int = int.wrapping_add(opening.residual(packed));
                *to = int;
            }
        }
        _ => {
            backwards.next().into_iter().for_each(|to| *to = int);
            int = int.wrapping_add(delta);
            backwards.next().into_iter().for_each(|to| *to = int);
            for (to, &packed) in backwards.zip(&*packed) {
                delta = delta.wrapping_add(opening.residual(packed));
                int = int.wrapping_add(delta);
                *to = int;
            }
        }
    }
    Ok(())
}

/// Gives each patch's position and the bits that it sets.
fn patches(
    reader: &mut Reader<'_>,
    head: u8,
    width: u32,
    mut visit: impl FnMut(usize, u64) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if head & HEAD_PATCHES == 0 {
        return Ok(());
    }
    for _ in 0..reader.byte()? {
        let at = usize::from(reader.byte()?);
        let high = reader.varint()?;
        if high.leading_zeros() < width {
            return Err(Malformed("a patch over 64 bits"));
        }
        visit(at, high.checked_shl(width).unwrap_or(0))?;
    }
    Ok(())
}

/// The last of `count` integers.
pub(super) fn last(reader: &mut Reader<'_>, head: u8, count: usize) -> Result<i64, Malformed> {
    match head & HEAD_PREDICTOR {
        CONSTANT | DELTA | DELTA_OF_DELTA => reader.zigzag(),
        _ => {
            let opening = Opening::read(reader, head, count)?;
            let mut packed = [0];
            unpack(opening.packed, opening.width, &mut packed);
            patches(reader, head, opening.width, |at, high| {
                packed[0] |= if at == 0 { high } else { 0 };
                Ok(())
            })?;
            Ok(opening.residual(packed[0]))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ints: &[i64]) -> usize {
        let mut bytes = Vec::new();
        let head = put(ints, &mut bytes);
        let mut out = vec![0; ints.len()];
        let mut reader = Reader::new(&bytes);
        read(&mut reader, head, &mut out).expect("reads");
        assert!(reader.is_empty());
        assert_eq!(out, ints);
        if let Some(end) = ints.last() {
            assert_eq!(last(&mut Reader::new(&bytes), head, ints.len()), Ok(*end));
        }
        bytes.len()
    }

    #[test]
    fn each_shape_finds_its_predictor() {
        let run = |make: fn(i64) -> i64| -> Vec<i64> { (0..128).map(make).collect() };
        // Start, base and width: no bits for what is predicted.
        assert!(check(&run(|_| 77)) <= 2);
        assert!(check(&run(|n| n * 1_000)) <= 6);
        // Multiples of a page: 4 bits each and not 16.
        assert!(check(&run(|n| (n * 7 % 16) * 4096)) <= 64 + 6);
        // One reset among increases of up to 15.
        assert!(
            check(&run(|n| 1_000_000 + n * 8 + n * 5 % 7 - if n > 60 { 1_000_300 } else { 0 })) <= 64 + 20
        );
    }

    proptest! {
        #[test]
        fn any_run_comes_back(ints in prop::collection::vec(any::<i64>(), 0..=128)) {
            check(&ints);
        }

        #[test]
        fn smooth_runs_with_outliers_come_back(
            start: i64, step in -1_000_000i64..1_000_000, shift in 0u32..20,
            noise in prop::collection::vec(0i64..300, 1..=128), outlier: i64, at: prop::sample::Index,
        ) {
            let line = |(at, noise): (usize, &i64)| {
                start.wrapping_add(step.wrapping_mul(at as i64)).wrapping_add(noise << shift)
            };
            let mut ints: Vec<_> = noise.iter().enumerate().map(line).collect();
            check(&ints);
            let place = at.index(ints.len());
            ints[place] = outlier;
            check(&ints);
        }

        #[test]
        fn any_bytes_are_an_error_or_ints(
            bytes in prop::collection::vec(any::<u8>(), 0..300), head: u8, count in 0usize..=128,
        ) {
            let mut out = vec![0; count];
            let whole = read(&mut Reader::new(&bytes), head, &mut out);
            let end = last(&mut Reader::new(&bytes), head, count);
            if whole.is_ok() && count > 0 {
                prop_assert_eq!(end, Ok(out[count - 1]));
            }
        }
    }
}
