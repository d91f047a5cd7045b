//! Chunks of floats: steps of time by their change, values by the bits in which they differ (Gorilla,
//! Pelkonen et al. 2015, with Prometheus's widths).

use model::Sample;

use super::bits::{BitReader, BitWriter, End};
use super::{Chunk, ChunkError, Encoding, varbit};

/// Which bits differed last, and the value then.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Xor {
    value: u64,
    /// Zeros before and behind the bits that differ; none before two values differed.
    window: Option<(u32, u32)>,
}

impl Xor {
    pub(super) fn after(value: f64) -> Self {
        Self { value: value.to_bits(), window: None }
    }

    pub(super) fn put(&mut self, out: &mut BitWriter, value: f64) {
        let differ = value.to_bits() ^ self.value;
        self.value = value.to_bits();
        if differ == 0 {
            out.put(0, 1);
            return;
        }
        // Five bits hold the zeros before.
        let (leading, trailing) = (differ.leading_zeros().min(31), differ.trailing_zeros());
        match self.window {
            Some((before, behind)) if leading >= before && trailing >= behind => {
                out.put(0b10, 2);
                out.put(differ >> behind, 64 - before - behind);
            }
            _ => {
                self.window = Some((leading, trailing));
                let width = 64 - leading - trailing;
                out.put(0b11, 2);
                out.put(u64::from(leading), 5);
                // Six bits hold up to 63: all 64 are written as none.
                out.put(u64::from(width % 64), 6);
                out.put(differ >> trailing, width);
            }
        }
    }

    pub(super) fn take(&mut self, bits: &mut BitReader<'_>) -> Result<f64, End> {
        if bits.take(1)? == 1 {
            if bits.take(1)? == 1 {
                let leading = u32::try_from(bits.take(5)?).unwrap_or(0);
                let width = match u32::try_from(bits.take(6)?).unwrap_or(0) {
                    0 => 64,
                    width => width,
                };
                // Damaged bytes may name more than there are.
                self.window = Some((leading, 64_u32.checked_sub(leading + width).ok_or(End)?));
            }
            let (leading, trailing) = self.window.unwrap_or((0, 0));
            self.value ^= bits.take(64 - leading - trailing)? << trailing;
        }
        Ok(f64::from_bits(self.value))
    }
}

/// A chunk of at most 65,535 samples, of which there must be one.
pub(super) fn encode(samples: &[Sample]) -> Chunk {
    let count = u16::try_from(samples.len()).unwrap_or(u16::MAX);
    let mut out = BitWriter::after(count.to_be_bytes().to_vec());
    let (mut last, mut step, mut xor) = (0_i64, 0_i64, Xor::default());
    for (at, sample) in samples.iter().take(usize::from(count)).enumerate() {
        let now = sample.timestamp.wrapping_sub(last);
        match at {
            0 => {
                let zigzag = (sample.timestamp << 1 ^ sample.timestamp >> 63).cast_unsigned();
                put_varint(&mut out, zigzag);
                out.put_float(sample.value);
                xor = Xor::after(sample.value);
            }
            1 => {
                put_varint(&mut out, now.cast_unsigned());
                xor.put(&mut out, sample.value);
            }
            _ => {
                varbit::put_step(&mut out, now.wrapping_sub(step));
                xor.put(&mut out, sample.value);
            }
        }
        (last, step) = (sample.timestamp, now);
    }
    Chunk {
        encoding: Encoding::Xor,
        start: samples.first().map_or(0, |sample| sample.timestamp),
        end: last,
        data: out.into_bytes(),
    }
}

pub(super) fn decode(data: &[u8]) -> Result<Vec<Sample>, ChunkError> {
    let short = |sample| ChunkError::Short { bytes: data.len(), sample };
    let (count, rest) = data.split_first_chunk::<2>().ok_or(short(0))?;
    let mut bits = BitReader::new(rest);
    let (mut out, mut last, mut step, mut xor) = (Vec::new(), 0_i64, 0_i64, Xor::default());
    for at in 0..usize::from(u16::from_be_bytes(*count)) {
        let sample = next(&mut bits, at, last, &mut step, &mut xor).map_err(|End| short(at))?;
        last = sample.timestamp;
        out.push(sample);
    }
    Ok(out)
}

fn next(
    bits: &mut BitReader<'_>,
    at: usize,
    last: i64,
    step: &mut i64,
    xor: &mut Xor,
) -> Result<Sample, End> {
    if at == 0 {
        let zigzag = take_varint(bits)?;
        let timestamp = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        let value = bits.take_float()?;
        *xor = Xor::after(value);
        return Ok(Sample::new(timestamp, value));
    }
    *step = match at {
        1 => take_varint(bits)?.cast_signed(),
        _ => step.wrapping_add(varbit::take_step(bits)?),
    };
    Ok(Sample::new(last.wrapping_add(*step), xor.take(bits)?))
}

fn put_varint(out: &mut BitWriter, mut value: u64) {
    while value >= 0x80 {
        out.put(value & 0x7f | 0x80, 8);
        value >>= 7;
    }
    out.put(value, 8);
}

fn take_varint(bits: &mut BitReader<'_>) -> Result<u64, End> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = bits.take_byte()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(End)?;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(End)
}
