//! Bits one after the other, of any number at a time.

use super::packing::length;
use crate::bytes::Malformed;

/// Bits, the lowest of a byte first.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    word: u128,
    filled: u32,
}

impl BitWriter {
    /// Appends the low `count` bits, at most 64.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.word |= u128::from(bits) << self.filled;
        self.filled += count;
        if self.filled >= 64 {
            self.bytes.extend_from_slice(&(self.word as u64).to_le_bytes());
            self.word >>= 64;
            self.filled -= 64;
        }
    }

    /// Appends a number from 1 on: as many zeros as it has bits below its highest one, then it, that one first.
    pub(super) fn put_gamma(&mut self, number: u64) {
        let below = length(number) - 1;
        self.put(0, below);
        self.put(1, 1);
        self.put(number & ((1u64 << below) - 1), below);
    }

    pub(super) fn finish(mut self, out: &mut Vec<u8>) {
        self.bytes.extend_from_slice(&(self.word as u64).to_le_bytes()[..self.filled.div_ceil(8) as usize]);
        out.extend_from_slice(&self.bytes);
    }
}

/// Takes bits in that order.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Of the next byte that `word` does not have.
    at: usize,
    word: u128,
    filled: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, word: 0, filled: 0 }
    }

    /// The next `count` bits, at most 64.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> Result<u64, Malformed> {
        if self.filled < count {
            self.fill(count)?;
        }
        let bits = self.word as u64 & if count == 64 { u64::MAX } else { (1 << count) - 1 };
        self.word >>= count;
        self.filled -= count;
        Ok(bits)
    }

    fn fill(&mut self, count: u32) -> Result<(), Malformed> {
        if let Some(eight) = self.bytes.get(self.at..).and_then(|left| left.first_chunk::<8>()) {
            self.word |= u128::from(u64::from_le_bytes(*eight)) << self.filled;
            self.at += 8;
            self.filled += 64;
            return Ok(());
        }
        while self.filled < count {
            let byte = self.bytes.get(self.at).ok_or(Malformed("the bits end too early"))?;
            self.word |= u128::from(*byte) << self.filled;
            self.at += 1;
            self.filled += 8;
        }
        Ok(())
    }

    pub(super) fn gamma(&mut self) -> Result<u64, Malformed> {
        let mut below = 0;
        while self.take(1)? == 0 {
            below += 1;
            if below > 32 {
                return Err(Malformed("a number over 32 bits"));
            }
        }
        Ok(1 << below | self.take(below)?)
    }

    /// The bytes of which no bit was taken.
    pub(super) fn rest(&self) -> &'a [u8] {
        let from = self.at - (self.filled / 8) as usize;
        self.bytes.get(from..).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_back(all in prop::collection::vec((any::<u64>(), 0u32..=64, 1u64..1 << 32), 0..60)) {
            let mut writer = BitWriter::default();
            for &(number, count, gamma) in &all {
                writer.put(if count == 64 { number } else { number & ((1 << count) - 1) }, count);
                writer.put_gamma(gamma);
            }
            let mut bytes = Vec::new();
            writer.finish(&mut bytes);
            bytes.extend([1, 2, 3]);
            let mut reader = BitReader::new(&bytes);
            for &(number, count, gamma) in &all {
                let expected = if count == 64 { number } else { number & ((1 << count) - 1) };
                prop_assert_eq!(reader.take(count), Ok(expected));
                prop_assert_eq!(reader.gamma(), Ok(gamma));
            }
            prop_assert_eq!(reader.rest(), &[1, 2, 3]);
            prop_assert!(reader.take(64).is_err());
        }
    }
}
