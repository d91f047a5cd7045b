//! Streams of bits, the highest of each byte first.

/// Bits that are written; the last byte is filled up with zeros.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits of the last byte that are free.
    free: u32,
}

impl BitWriter {
    /// A stream that goes on behind whole bytes.
    pub(super) fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    /// The lowest `count` bits of `value`, the highest of them first.
    pub(super) fn put(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let take = left.min(self.free);
            let part = (value >> (left - take)) & ((1 << take) - 1);
            if let Some(last) = self.bytes.last_mut() {
                #[allow(clippy::cast_possible_truncation, reason = "at most eight bits")]
                let part = part as u8;
                *last |= part << (self.free - take);
            }
            self.free -= take;
            left -= take;
        }
    }

    /// A byte, wherever the stream stands.
    pub(super) fn put_byte(&mut self, byte: u8) {
        self.put(u64::from(byte), 8);
    }

    /// All 64 bits of a float.
    pub(super) fn put_float(&mut self, value: f64) {
        self.put(value.to_bits(), 64);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The bits ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End;

/// Bits that are read.
#[derive(Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_mul(8).saturating_sub(self.at)
    }

    /// The next `count` bits, at most 64.
    pub(super) fn take(&mut self, count: u32) -> Result<u64, End> {
        let (mut value, mut left) = (0_u64, count);
        while left > 0 {
            let byte = *self.bytes.get(self.at / 8).ok_or(End)?;
            let free = 8 - u32::try_from(self.at % 8).unwrap_or(0);
            let take = left.min(free);
            let part = (u64::from(byte) >> (free - take)) & ((1 << take) - 1);
            value = value << take | part;
            self.at += take as usize;
            left -= take;
        }
        Ok(value)
    }

    pub(super) fn take_byte(&mut self) -> Result<u8, End> {
        #[allow(clippy::cast_possible_truncation, reason = "eight bits")]
        self.take(8).map(|byte| byte as u8)
    }

    pub(super) fn take_float(&mut self) -> Result<f64, End> {
        self.take(64).map(f64::from_bits)
    }

    /// How many of the next `max` bits are one before the first zero; that zero is read, too.
    pub(super) fn ones(&mut self, max: u32) -> Result<u32, End> {
        for ones in 0..max {
            if self.take(1)? == 0 {
                return Ok(ones);
            }
        }
        Ok(max)
    }
}
