//! Columns of every shape, and damage that checksums do not show.

use std::ops::{Range, RangeInclusive};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, SizeRange, select};
use storage::{Cell, Number};
use vedette_tsdb::codec::Tile;

/// Kind and bits: what must come back.
pub(crate) fn bits(cell: Cell) -> (u8, u64) {
    match cell {
        Cell::Absent => (0, 0),
        Cell::Stale => (1, 0),
        Cell::Value(number) => (2, number.to_bits()),
    }
}

fn value(value: f64) -> Cell {
    Cell::Value(Number::from_f64(value))
}

/// Anything that a row may carry.
fn any_cell() -> impl Strategy<Value = Cell> {
    let odd = [
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        5e-324,
        f64::MAX,
        9_007_199_254_740_992.0,
        -9_007_199_254_740_992.0,
        9_007_199_254_740_993.0,
        f64::from_bits(model::STALE_NAN_BITS),
        f64::from_bits(0xfff8_0000_0000_0001),
    ];
    prop_oneof![
        Just(Cell::Absent),
        Just(Cell::Stale),
        any::<u64>().prop_map(|bits| Cell::Value(Number::Raw(bits))),
        (-1_000i64..1_000).prop_map(|whole| value(whole as f64)),
        (-(1i64 << 53)..=1 << 53, 0u8..=22)
            .prop_map(|(mantissa, exponent)| { Cell::Value(Number::Decimal { mantissa, exponent }) }),
        (0i64..1 << 40).prop_map(|whole| value(whole as f64 * 0.001)),
        select(odd.to_vec()).prop_map(value),
    ]
}

/// A column as exporters make them, for one number of noise a row.
fn shape(kind: u8, start: i64, noise: &[i64]) -> Vec<Cell> {
    let mut sum = start;
    let mut increased = |noise: &i64| {
        sum = if noise % 97 == 0 { 0 } else { sum + noise };
        sum
    };
    match kind {
        // Counters that begin again now and then: whole, ticks, and as exporters multiply and divide.
        0 => noise.iter().map(|noise| value(increased(noise) as f64)).collect(),
        1 => noise.iter().map(|noise| value(increased(noise) as f64 / 100.0)).collect(),
        2 => noise.iter().map(|noise| value(increased(noise) as f64 * 0.001)).collect(),
        3 => noise.iter().map(|noise| value(increased(noise) as f64 / 1e3 / 1e3)).collect(),
        // Pages, nanoseconds, ratios.
        4 => noise.iter().map(|noise| value(((start + noise) * 4096) as f64)).collect(),
        5 => noise.iter().map(|noise| value((start + noise) as f64 / 1e9)).collect(),
        6 => noise.iter().map(|noise| value((start + noise) as f64 / 7.0)).collect(),
        // Long and short decimals by turns.
        7 => noise.iter().map(|noise| value(*noise as f64 / 10f64.powi((noise % 9) as i32))).collect(),
        // Few rows, or an end and a new start.
        8 => noise
            .iter()
            .map(|noise| if noise % 5 == 0 { value(*noise as f64) } else { Cell::Absent })
            .collect(),
        9 => noise
            .iter()
            .map(|noise| if noise % 50 == 0 { Cell::Stale } else { value(*noise as f64) })
            .collect(),
        _ => vec![value(start as f64 / 1e3); noise.len()],
    }
}

/// One timestamp a row, and columns of one cell a row.
pub(crate) fn columns(
    rows: RangeInclusive<usize>,
    count: Range<usize>,
) -> impl Strategy<Value = (Vec<i64>, Vec<Vec<Cell>>)> {
    let count = SizeRange::from(count);
    rows.prop_flat_map(move |rows| {
        let shaped = (0u8..=10, 0i64..1 << 40, vec(0i64..10_000, rows))
            .prop_map(|(kind, start, noise)| shape(kind, start, &noise));
        let wild = vec(any_cell(), rows);
        let equal = any_cell().prop_map(move |cell| vec![cell; rows]);
        let column = prop_oneof![6 => shaped, 2 => wild, 1 => equal];
        let jitter = vec(0i64..20, rows).prop_map(|jitter| {
            jitter.iter().zip(0..).map(|(jitter, row)| 1_700_000_000_000 + row * 15_000 + jitter).collect()
        });
        let times = prop_oneof![3 => jitter, 1 => vec(any::<i64>(), rows)];
        (times, vec(column, count.clone())).prop_map(|(times, mut columns): (Vec<i64>, Vec<Vec<Cell>>)| {
            // A twin of a column, as histogram buckets are.
            if columns.len() > 2 {
                columns[2] = columns[0].clone();
            }
            (times, columns)
        })
    })
}

/// A tile with other bytes and a checksum for them.
pub(crate) fn damage_tile(tile: &Tile, places: &[(Index, u8)]) -> Vec<u8> {
    let mut body = tile.bytes()[..tile.bytes().len() - 4].to_vec();
    for (at, byte) in places {
        let place = at.index(body.len());
        body[place] = *byte;
    }
    let check = crc32c::crc32c(&body);
    body.extend_from_slice(&check.to_le_bytes());
    body
}

/// A block with other plain bytes, compressed again, and a checksum for them.
pub(crate) fn damage_block(block: &[u8], places: &[(Index, u8)]) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("4 bytes")) as usize;
    let (plain, frame, length) = (word(8), 20 + word(12), word(16));
    let mut plain = zstd::bulk::decompress(&block[frame..frame + length], plain).expect("whole");
    let mut summaries = block[20..frame].to_vec();
    let mut streams = block[frame + length..].to_vec();
    for (at, byte) in places {
        // Summaries, descriptions and streams by turns; not the lengths, which would end it at once.
        let mut place = at.index(summaries.len() + plain.len() + streams.len());
        for part in [&mut summaries, &mut plain, &mut streams] {
            match part.get_mut(place) {
                Some(own) => {
                    *own = *byte;
                    break;
                }
                None => place -= part.len(),
            }
        }
    }
    let compressed = zstd::bulk::compress(&plain, 1).expect("memory");
    let mut damaged = block[..16].to_vec();
    damaged.extend_from_slice(&(compressed.len() as u32).to_le_bytes());
    damaged.extend([summaries, compressed, streams].concat());
    sign_block(&mut damaged);
    damaged
}

/// Gives bytes the checksum of a block, if they are long enough for one.
pub(crate) fn sign_block(bytes: &mut [u8]) {
    if bytes.len() >= 8 {
        let check = crc32c::crc32c_append(crc32c::crc32c(&bytes[..4]), &bytes[8..]);
        bytes[4..8].copy_from_slice(&check.to_le_bytes());
    }
}
