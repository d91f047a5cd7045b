//! The bytes of one record and of a segment's head.
//!
//! ```text
//! record  := magic[4] kind:u8 flags:u8 head_check:u16 length:u32 check:u32 stored[length]
//! segment := "VEDL" version:u32 index:u64 check:u32, then records
//! ```
//! Integers are little-endian. `head_check` is the low half of the CRC32C of magic, kind, flags and
//! length, so that a damaged payload is stepped over and never searched for records; `check` is the
//! CRC32C of kind, flags, length and the stored bytes.

use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

/// Starts every record. No byte of it is ASCII, so text rarely looks like one.
pub(crate) const MAGIC: [u8; 4] = [0xe7, 0x96, 0xb1, 0xd3];
/// Bytes before a record's payload.
pub(crate) const HEAD: usize = 16;
/// Bytes before a segment's first record.
pub(crate) const SEGMENT_HEAD: usize = 20;
/// Version of both formats.
pub(crate) const VERSION: u32 = 1;
/// Bytes that a payload may have, uncompressed.
pub const RECORD_MAX: usize = 64 << 20;

const SEGMENT_MAGIC: &[u8; 4] = b"VEDL";
const FLAG_ZSTD: u8 = 1;
/// Smaller payloads gain nothing from compression.
const COMPRESS_MIN: usize = 128;
const ZSTD_LEVEL: i32 = 1;

thread_local! {
    /// Making one costs as much as packing a small record; it keeps no more memory than its latest records needed.
    static COMPRESSOR: RefCell<std::io::Result<Compressor<'static>>> = RefCell::new(Compressor::new(ZSTD_LEVEL));
    /// Making one costs as much as unpacking a small record.
    static DECOMPRESSOR: RefCell<std::io::Result<Decompressor<'static>>> = RefCell::new(Decompressor::new());
}

/// Where a record starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment's index.
    pub segment: u64,
    /// Bytes from the segment's start.
    pub offset: u64,
}

/// A record that was read and whose checksum holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is.
    pub at: Location,
    /// What its writer called it.
    pub kind: u8,
    /// What its writer gave.
    pub payload: Vec<u8>,
}

/// A record's head whose own check holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) length: usize,
    check: u32,
}

/// Appends a record to `out`.
pub(crate) fn encode(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    let (flags, stored) = compressed(payload).map_or((0, None), |bytes| (FLAG_ZSTD, Some(bytes)));
    let stored = stored.as_deref().unwrap_or(payload);
    let length = (stored.len() as u32).to_le_bytes();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&head_check(kind, flags, length).to_le_bytes());
    out.extend_from_slice(&length);
    out.extend_from_slice(&check(kind, flags, length, stored).to_le_bytes());
    out.extend_from_slice(stored);
}

/// The head at the start of `bytes`, of which there are at least [`HEAD`].
pub(crate) fn decode_head(bytes: &[u8]) -> Option<Head> {
    let field = |from: usize| -> Option<[u8; 4]> { bytes.get(from..from + 4)?.try_into().ok() };
    let (&kind, &flags) = (bytes.get(4)?, bytes.get(5)?);
    let claimed = u16::from_le_bytes([*bytes.get(6)?, *bytes.get(7)?]);
    let length = field(8)?;
    if bytes[..4] != MAGIC || claimed != head_check(kind, flags, length) {
        return None;
    }
    let check = u32::from_le_bytes(field(12)?);
    let length = u32::from_le_bytes(length) as usize;
    // A compressed payload is never larger than the plain one, which is at most RECORD_MAX.
    (length <= RECORD_MAX + 4).then_some(Head { kind, flags, length, check })
}

/// The payload, if `stored` is what the head was written for.
pub(crate) fn decode_payload(head: &Head, stored: &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = (head.length as u32).to_le_bytes();
    if check(head.kind, head.flags, length, stored) != head.check {
        return Err("the checksum does not match");
    }
    if head.flags & FLAG_ZSTD == 0 {
        return Ok(stored.to_vec());
    }
    let (plain, packed) = stored.split_first_chunk::<4>().ok_or("a compressed payload without its length")?;
    let plain = u32::from_le_bytes(*plain) as usize;
    if plain > RECORD_MAX {
        return Err("a payload over the limit");
    }
    let payload = DECOMPRESSOR.with_borrow_mut(|decompressor| match decompressor {
        Ok(decompressor) => decompressor.decompress(packed, plain).map_err(drop),
        Err(_) => zstd::bulk::decompress(packed, plain).map_err(drop),
    });
    let payload = payload.map_err(|()| "the payload does not decompress")?;
    if payload.len() == plain { Ok(payload) } else { Err("the payload's length is not the one written") }
}

/// The head of segment `index`.
pub(crate) fn segment_head(index: u64) -> Vec<u8> {
    let mut head = SEGMENT_MAGIC.to_vec();
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&index.to_le_bytes());
    head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
    head
}

/// `plain length:u32, zstd frame`, where that is smaller.
fn compressed(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() < COMPRESS_MIN {
        return None;
    }
    let packed = COMPRESSOR.with_borrow_mut(|compressor| match compressor {
        Ok(compressor) => compressor.compress(payload),
        Err(_) => zstd::bulk::compress(payload, ZSTD_LEVEL),
    });
    let packed = packed.ok()?;
    if packed.len() + 4 >= payload.len() {
        return None;
    }
    let mut stored = (payload.len() as u32).to_le_bytes().to_vec();
    stored.extend_from_slice(&packed);
    Some(stored)
}

fn head_check(kind: u8, flags: u8, length: [u8; 4]) -> u16 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&MAGIC), &[kind, flags]);
    (crc32c::crc32c_append(crc, &length) & 0xffff) as u16
}

fn check(kind: u8, flags: u8, length: [u8; 4], stored: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind, flags]), &length);
    crc32c::crc32c_append(crc, stored)
}
