//! Unpacking pages: at once where a page is one gzip member whose end tells its size, as nearly all are; else piece
//! by piece, which also finds the words for what is wrong.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

/// Deflate makes of a byte no more than this.
const RATIO_MAX: usize = 1032;

/// Unpacks at most `limit` bytes into a buffer; what it held goes.
///
/// # Errors
/// When the bytes are no gzip, or end too early.
pub(crate) fn gunzip(packed: &[u8], limit: u64, plain: &mut Vec<u8>) -> std::io::Result<()> {
    if at_once(packed, limit, plain) {
        return Ok(());
    }
    plain.clear();
    MultiGzDecoder::new(packed).take(limit).read_to_end(plain)?;
    Ok(())
}

/// Whether the page was one member of less than `limit` bytes, and good.
fn at_once(packed: &[u8], limit: u64, plain: &mut Vec<u8>) -> bool {
    let Some(end) = packed.last_chunk() else { return false };
    let said = u32::from_le_bytes(*end);
    if u64::from(said) >= limit || said as usize > packed.len().saturating_mul(RATIO_MAX) {
        return false;
    }
    plain.clear();
    plain.reserve(said as usize);
    unpack(packed, plain) == Some(packed.len()) && plain.len() == said as usize
}

/// Unpacks the first member into the buffer's room; the bytes that it took, where it was good and there was room.
#[allow(unsafe_code, reason = "libdeflate's own interface: the safe one does not say how much it read")]
fn unpack(packed: &[u8], plain: &mut Vec<u8>) -> Option<usize> {
    use libdeflate_sys as c;
    plain.clear();
    let room = plain.spare_capacity_mut();
    let (mut read, mut written) = (0, 0);
    // SAFETY: both ranges are ours for the call and do not overlap; the decompressor is made and freed here.
    let result = unsafe {
        let decompressor = c::libdeflate_alloc_decompressor();
        if decompressor.is_null() {
            return None;
        }
        let result = c::libdeflate_gzip_decompress_ex(
            decompressor,
            packed.as_ptr().cast(),
            packed.len(),
            room.as_mut_ptr().cast(),
            room.len(),
            &raw mut read,
            &raw mut written,
        );
        c::libdeflate_free_decompressor(decompressor);
        result
    };
    if result != c::libdeflate_result_LIBDEFLATE_SUCCESS || written > room.len() {
        return None;
    }
    // SAFETY: as many bytes of the room were written.
    unsafe { plain.set_len(written) };
    Some(read)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn member(plain: &[u8], level: u32) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::new(level));
        packer.write_all(plain).expect("in memory");
        packer.finish().expect("in memory")
    }

    /// What comes of it, and whether it came at once.
    fn unpacked(packed: &[u8], limit: u64) -> (Option<Vec<u8>>, bool) {
        let (mut plain, mut again) = (b"before".to_vec(), Vec::new());
        let outcome = gunzip(packed, limit, &mut plain).ok().map(|()| plain);
        (outcome, at_once(packed, limit, &mut again))
    }

    #[test]
    fn one_member_comes_at_once_and_others_come_too() {
        let (page, zeros) = (b"a 1\nb 2\n".repeat(100), vec![0; 100_000]);
        for (packed, limit, plain, fast) in [
            (member(&page, 6), 801, page.clone(), true),
            (member(&page, 0), 1 << 20, page.clone(), true),
            (member(b"", 6), 1, Vec::new(), true),
            (member(&zeros, 9), 1 << 20, zeros.clone(), true),
            // The limit cuts: who asked sees that it was reached.
            (member(&page, 6), 800, page.clone(), false),
            (member(&zeros, 9), 1_000, vec![0; 1_000], false),
            ([member(&page, 6), member(&page, 6)].concat(), 1 << 20, page.repeat(2), false),
            ([member(b"", 6), member(&page, 6)].concat(), 1 << 20, page.clone(), false),
        ] {
            assert_eq!(unpacked(&packed, limit), (Some(plain), fast));
        }
        let mut lies = member(&page, 6);
        let end = lies.len() - 4;
        lies[end..].copy_from_slice(&u32::MAX.to_le_bytes());
        for bad in [lies, b"no gzip".to_vec(), [member(&page, 6), b"x".to_vec()].concat()] {
            assert_eq!(unpacked(&bad, u64::MAX), (None, false));
        }
    }

    proptest! {
        /// Whatever comes, it is what the slow way makes of it.
        #[test]
        fn damaged_pages_are_refused(
            page in prop::collection::vec(0u8..4, 0..500), at: usize, byte: u8, cut: bool, limit in 1..600u64,
        ) {
            let mut packed = member(&page, 6);
            let at = at % packed.len();
            if cut { packed.truncate(at) } else { packed[at] = byte }
            let mut slow = Vec::new();
            let read = MultiGzDecoder::new(&packed[..]).take(limit).read_to_end(&mut slow);
            prop_assert_eq!(unpacked(&packed, limit).0, read.ok().map(|_| slow));
        }
    }
}
