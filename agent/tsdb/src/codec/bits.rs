//! Integers of one width, packed without gaps: value `i` takes the bits from `i × width` on, bit `k`
//! of the packing being bit `k % 8` of byte `k / 8`.

/// Values that one packing holds.
pub(super) const PACKED_MAX: usize = 128;

/// The bytes of `count` values of `width` bits.
pub(super) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends the low `width` bits of each value.
pub(super) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = mask(width);
    let (mut word, mut filled) = (0u64, 0u32);
    for value in values {
        let value = value & mask;
        word |= value << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            // What did not fit; a shift by all 64 bits would leave everything.
            word = if filled == 0 { 0 } else { value >> (width - filled) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8) as usize]);
}

/// Fills `out`, at most [`PACKED_MAX`] values, from a packing of at least that many.
pub(super) fn unpack(packed: &[u8], width: u32, out: &mut [u64]) {
    // Padded, so that every load is whole; the index is masked, so that none is checked.
    let mut padded = [0u8; PACKED_MAX * 8 + 16];
    let bytes = packed.len().min(PACKED_MAX * 8);
    padded[..bytes].copy_from_slice(&packed[..bytes]);
    let mask = mask(width);
    let mut bit = 0;
    if width <= 56 {
        for value in out {
            let at = (bit / 8) & (PACKED_MAX * 8 - 1);
            *value = (u64::from_le_bytes(array(&padded[at..at + 8])) >> (bit % 8)) & mask;
            bit += width as usize;
        }
    } else {
        for value in out {
            let at = (bit / 8) & (PACKED_MAX * 8 - 1);
            *value = (u128::from_le_bytes(array(&padded[at..at + 16])) >> (bit % 8)) as u64 & mask;
            bit += width as usize;
        }
    }
}

/// The first `N` bytes; the caller gives that many.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}

fn mask(width: u32) -> u64 {
    u64::MAX.checked_shr(64 - width.min(64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_come_back(
            values in prop::collection::vec(any::<u64>(), 0..=PACKED_MAX), width in 0u32..=64,
        ) {
            let mut packed = Vec::new();
            pack(&values, width, &mut packed);
            prop_assert_eq!(packed.len(), packed_len(values.len(), width));
            let mut out = vec![0; values.len()];
            unpack(&packed, width, &mut out);
            let written: Vec<_> = values.iter().map(|value| value & mask(width)).collect();
            prop_assert_eq!(out, written);
        }
    }
}
