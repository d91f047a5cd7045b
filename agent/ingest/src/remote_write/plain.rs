//! The forms in which nearly every sender writes labels and samples of version 1, told by a few comparisons. What
//! looks otherwise is read field by field.

use super::message::Sample;

/// Tags of the fields, which are those of their messages, too: see the specification of remote write 1.
const LABEL: u8 = 0x0a;
const NAME: u8 = 0x0a;
const VALUE: u8 = 0x12;
const SAMPLE: u8 = 0x12;
const NUMBER: u8 = 0x09;
const TIME: u8 = 0x10;
/// Bytes of a time between 1971 and 2109.
const TIME_BYTES: usize = 6;

/// How many bytes the label field has that `series` begins with: a name and a value of fewer than 128 bytes together,
/// and nothing else.
#[inline]
pub(crate) fn label(series: &[u8]) -> Option<usize> {
    let &[LABEL, length, NAME, name, ..] = series else { return None };
    let (length, name) = (usize::from(length), usize::from(name));
    let &[VALUE, value] = series.get(4 + name..6 + name)?.first_chunk::<2>()? else { return None };
    // A length is one byte as long as it is below 128, and here all of them are.
    let fits = length < 0x80 && 4 + name + usize::from(value) == length && 2 + length <= series.len();
    fits.then_some(2 + length)
}

/// The sample that `series` begins with, and how many bytes its field has.
#[inline]
pub(crate) fn sample(series: &[u8]) -> Option<(Sample, usize)> {
    let (bits, rest, length) = match *series {
        [SAMPLE, 16, NUMBER, ref rest @ ..] => {
            let (bits, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_le_bytes(*bits), rest, 18)
        }
        // Zero is left out.
        [SAMPLE, 7, ref rest @ ..] => (0, rest, 9),
        _ => return None,
    };
    let (&TIME, rest) = rest.split_first()? else { return None };
    let time = rest.first_chunk::<TIME_BYTES>()?;
    let mut timestamp = 0;
    for (at, byte) in time.iter().enumerate() {
        if (byte & 0x80 == 0) != (at + 1 == TIME_BYTES) {
            return None;
        }
        timestamp |= i64::from(byte & 0x7f) << (7 * at);
    }
    Some((Sample { timestamp, bits }, length))
}

#[cfg(test)]
#[path = "tests/plain.rs"]
mod tests;
