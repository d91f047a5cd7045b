//! The timestamps of a block's rows, once for all columns of a layout.

use super::bits::PACKED_MAX;
use super::{CodecError, fixed, ints};
use crate::bytes::{Malformed, Reader};

const VERSION: u8 = 1;
/// Version, zero, rows.
const HEAD: usize = 4;
const CHECK: usize = 4;

/// The bytes of timestamps, 65,535 at most.
///
/// # Errors
/// When there are none or more.
pub fn encode_times(timestamps: &[i64]) -> Result<Vec<u8>, CodecError> {
    let rows = u16::try_from(timestamps.len()).ok().filter(|&rows| rows > 0);
    let rows = rows.ok_or_else(|| {
        CodecError::new("new timestamps", format!("{} of them, from 1 to 65535", timestamps.len()))
    })?;
    let mut bytes = vec![VERSION, 0];
    bytes.extend_from_slice(&rows.to_le_bytes());
    for run in timestamps.chunks(PACKED_MAX) {
        let at = bytes.len();
        bytes.push(0);
        bytes[at] = ints::put(run, &mut bytes);
    }
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Appends the timestamps that [`encode_times`] wrote.
///
/// # Errors
/// When the bytes are not those of one whole set of timestamps.
pub fn decode_times(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), CodecError> {
    let start = out.len();
    read(bytes, out).map_err(|Malformed(what)| {
        out.truncate(start);
        CodecError::new("timestamps", what)
    })
}

fn read(bytes: &[u8], out: &mut Vec<i64>) -> Result<(), Malformed> {
    let (body, check) = bytes.split_last_chunk::<CHECK>().ok_or(Malformed("they end too early"))?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*check) {
        return Err(Malformed("the checksum does not match"));
    }
    let [version, zero, low, high] = fixed::<HEAD>(body, 0).ok_or(Malformed("they end too early"))?;
    if version != VERSION || zero != 0 {
        return Err(Malformed("a version that is not known here"));
    }
    let mut left = usize::from(u16::from_le_bytes([low, high]));
    if left == 0 {
        return Err(Malformed("a count of timestamps out of range"));
    }
    let mut reader = Reader::new(&body[HEAD..]);
    while left > 0 {
        let count = left.min(PACKED_MAX);
        let head = reader.byte()?;
        let start = out.len();
        out.resize(start + count, 0);
        ints::read(&mut reader, head, &mut out[start..])?;
        left -= count;
    }
    if reader.is_empty() { Ok(()) } else { Err(Malformed("bytes after the last one")) }
}
