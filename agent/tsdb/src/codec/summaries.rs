//! Summaries of a day's columns by the windows of two hours that the day was made of: long queries read these, and
//! neither the day's columns nor what else stands beside them.

use storage::{Cell, Summary};
use zstd::bulk::{compress, decompress};

use super::summary;
use super::{Block, CodecError};
use crate::bytes::{Malformed, Reader, put_varint};

const VERSION: u8 = 1;
const ZSTD_LEVEL: i32 = 3;
/// Windows that a day has.
const WINDOWS_MAX: usize = 12;
/// Bytes that a summary may have: flags, three counts, six numbers.
const SUMMARY_MAX: usize = 16 + 6 * 11;
/// Before the compressed summaries: version, and the length of the plain ones.
const HEAD: usize = 5;

/// Some rows of a day's column, side by side, that are of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Which of the day's windows, from 0.
    pub window: u8,
    /// How many rows.
    pub rows: usize,
}

/// What [`encode_summaries`] wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Summaries {
    /// In order of window.
    pub stretches: Vec<Stretch>,
    /// One a column, each with one summary a stretch.
    pub columns: Vec<Vec<Summary>>,
}

/// The summaries of columns, each of which has as many rows as all stretches together.
///
/// # Errors
/// When there are no columns or stretches, or more than a block and a day may have; when a column's rows are others.
pub fn encode_summaries(stretches: &[Stretch], columns: &[Vec<Cell>]) -> Result<Vec<u8>, CodecError> {
    let error = |what: String| CodecError::new("new summaries", what);
    let rows: usize = stretches.iter().map(|stretch| stretch.rows).sum();
    if columns.is_empty() || columns.len() > Block::COLUMNS_MAX {
        return Err(error(format!("{} columns, from 1 to {}", columns.len(), Block::COLUMNS_MAX)));
    }
    let rising = stretches.windows(2).all(|pair| pair[0].window < pair[1].window);
    if !rising || rows == 0 || rows > Block::ROWS_MAX || stretches.len() > WINDOWS_MAX {
        return Err(error(format!("{} stretches of {rows} rows", stretches.len())));
    }
    if columns.iter().any(|column| column.len() != rows) {
        return Err(error(format!("a column that has not {rows} rows")));
    }
    let mut plain = vec![columns.len() as u8, stretches.len() as u8];
    for stretch in stretches {
        plain.push(stretch.window);
        put_varint(&mut plain, stretch.rows as u64);
    }
    for column in columns {
        let mut from = 0;
        for stretch in stretches {
            let cells = &column[from..from + stretch.rows];
            summary::put(&Summary::of(cells), stretch.rows, &mut plain);
            from += stretch.rows;
        }
    }
    let frame = compress(&plain, ZSTD_LEVEL).map_err(|zstd| error(zstd.to_string()))?;
    let mut bytes = Vec::with_capacity(HEAD + frame.len() + 4);
    bytes.push(VERSION);
    bytes.extend_from_slice(&(plain.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&frame);
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    Ok(bytes)
}

/// Reads what [`encode_summaries`] wrote.
///
/// # Errors
/// When the bytes are not those of one whole set of summaries.
pub fn decode_summaries(bytes: &[u8]) -> Result<Summaries, CodecError> {
    read(bytes).map_err(|Malformed(what)| CodecError::new("summaries", what))
}

fn read(bytes: &[u8]) -> Result<Summaries, Malformed> {
    let early = Malformed("they end too early");
    let (body, check) = bytes.split_last_chunk::<4>().ok_or(early)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*check) {
        return Err(Malformed("the checksum does not match"));
    }
    let ([version, length @ ..], frame) = body.split_first_chunk::<HEAD>().ok_or(early)?;
    if *version != VERSION {
        return Err(Malformed("a version that is not known here"));
    }
    let length = u32::from_le_bytes(*length) as usize;
    if length > Block::COLUMNS_MAX * WINDOWS_MAX * (SUMMARY_MAX + 8) {
        return Err(Malformed("a plain length out of range"));
    }
    let plain = decompress(frame, length).map_err(|_| Malformed("they do not decompress"))?;
    if plain.len() != length {
        return Err(Malformed("they do not decompress to the length written"));
    }
    let mut reader = Reader::new(&plain);
    let (columns, count) = (usize::from(reader.byte()?), usize::from(reader.byte()?));
    if columns == 0 || columns > Block::COLUMNS_MAX || count == 0 || count > WINDOWS_MAX {
        return Err(Malformed("a count of columns or windows out of range"));
    }
    let mut stretches: Vec<Stretch> = Vec::with_capacity(count);
    for _ in 0..count {
        let window = reader.byte()?;
        let rows = reader.varint()?;
        let is_next = stretches.last().is_none_or(|before| before.window < window);
        if !is_next || usize::from(window) >= WINDOWS_MAX || rows > Block::ROWS_MAX as u64 {
            return Err(Malformed("windows out of order or range"));
        }
        stretches.push(Stretch { window, rows: rows as usize });
    }
    let column = |reader: &mut Reader<'_>| {
        stretches.iter().map(|stretch| summary::read(reader, stretch.rows)).collect::<Result<Vec<_>, _>>()
    };
    let columns = (0..columns).map(|_| column(&mut reader)).collect::<Result<_, _>>()?;
    if !reader.is_empty() {
        return Err(Malformed("bytes after the last summary"));
    }
    Ok(Summaries { stretches, columns })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Number;

    use super::*;

    fn any_cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            any::<u64>().prop_map(|bits| Cell::Value(Number::from_f64(f64::from_bits(bits)))),
            (-9i64..9).prop_map(|number| Cell::Value(Number::from_f64(number as f64 / 4.0))),
            Just(Cell::Absent),
            Just(Cell::Stale),
        ]
    }

    proptest! {
        #[test]
        fn they_are_those_of_each_window_alone(
            lengths in prop::collection::btree_map(0u8..12, 0usize..9, 1..12),
            cells in prop::collection::vec(prop::collection::vec(any_cell(), 100), 1..5),
        ) {
            let stretches: Vec<Stretch> =
                lengths.iter().map(|(&window, &rows)| Stretch { window, rows }).collect();
            let rows: usize = lengths.values().sum();
            prop_assume!(rows > 0);
            let columns: Vec<Vec<Cell>> = cells.iter().map(|column| column[..rows].to_vec()).collect();
            let bytes = encode_summaries(&stretches, &columns).expect("encodes");
            let read = decode_summaries(&bytes).expect("reads");
            prop_assert_eq!(&read.stretches, &stretches);
            for (column, found) in columns.iter().zip(&read.columns) {
                let mut from = 0;
                for (stretch, found) in stretches.iter().zip(found) {
                    let alone = Summary::of(&column[from..from + stretch.rows]);
                    prop_assert_eq!(format!("{alone:?}"), format!("{found:?}"));
                    from += stretch.rows;
                }
            }
            let mut damaged = bytes.clone();
            damaged[rows % bytes.len()] ^= 1;
            prop_assert!(decode_summaries(&damaged).is_err());
        }

        #[test]
        fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let check = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&check.to_le_bytes());
            let _ = decode_summaries(&bytes);
        }
    }
}
