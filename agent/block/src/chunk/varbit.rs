//! Numbers of as many bits as they need: a unary prefix names one of several widths.

use super::bits::{BitReader, BitWriter, End};

/// Widths of numbers in histogram chunks, by the ones of the prefix, from one on.
const WIDTHS: [u32; 8] = [3, 6, 9, 12, 18, 25, 56, 64];
/// Widths of the change of a time step in float chunks.
const STEP_WIDTHS: [u32; 4] = [14, 17, 20, 64];

/// Writes a signed number of a histogram chunk.
pub(super) fn put_int(out: &mut BitWriter, value: i64) {
    put(out, value, &WIDTHS);
}

/// Reads a signed number of a histogram chunk.
pub(super) fn take_int(bits: &mut BitReader<'_>) -> Result<i64, End> {
    take(bits, &WIDTHS)
}

/// Writes the change of a time step of a float chunk.
pub(super) fn put_step(out: &mut BitWriter, value: i64) {
    put(out, value, &STEP_WIDTHS);
}

/// Reads the change of a time step of a float chunk.
pub(super) fn take_step(bits: &mut BitReader<'_>) -> Result<i64, End> {
    take(bits, &STEP_WIDTHS)
}

/// Writes an unsigned number of a histogram chunk.
pub(super) fn put_uint(out: &mut BitWriter, value: u64) {
    let fits = |width: u32| width == 64 || value < 1 << width;
    prefixed(out, value, value == 0, &WIDTHS, fits);
}

/// Reads an unsigned number of a histogram chunk.
pub(super) fn take_uint(bits: &mut BitReader<'_>) -> Result<u64, End> {
    let ones = bits.ones(8)?;
    if ones == 0 { Ok(0) } else { bits.take(WIDTHS[ones as usize - 1]) }
}

/// A number of `n` bits reaches from -(2^(n-1) - 1) to 2^(n-1): one more above zero than two's complement has.
fn put(out: &mut BitWriter, value: i64, widths: &[u32]) {
    let fits = |width: u32| {
        let half = 1_i64 << (width - 1).min(62);
        width == 64 || (1 - half..=half).contains(&value)
    };
    prefixed(out, value.cast_unsigned(), value == 0, widths, fits);
}

fn prefixed(out: &mut BitWriter, value: u64, zero: bool, widths: &[u32], fits: impl Fn(u32) -> bool) {
    if zero {
        out.put(0, 1);
        return;
    }
    let at = widths.iter().position(|width| fits(*width)).unwrap_or(widths.len() - 1);
    let ones = u32::try_from(at + 1).unwrap_or(0);
    out.put((1 << ones) - 1, ones);
    // The widest needs no zero behind its ones.
    if at + 1 < widths.len() {
        out.put(0, 1);
    }
    out.put(value, widths[at]);
}

fn take(bits: &mut BitReader<'_>, widths: &[u32]) -> Result<i64, End> {
    let ones = bits.ones(u32::try_from(widths.len()).unwrap_or(0))?;
    let Some(width) = (ones as usize).checked_sub(1).map(|at| widths[at]) else { return Ok(0) };
    let value = bits.take(width)?;
    let negative = width < 64 && value > 1 << (width - 1);
    Ok(if negative { value.wrapping_sub(1 << width) } else { value }.cast_signed())
}
