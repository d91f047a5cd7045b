//! Tiles, blocks and timestamps whose checksums hold, whatever is in them: each way of reading a column agrees
//! with the others, and what is read is written again as the same.

use storage::{Cell, Number};
use tsdb::codec::{Block, BlockBuilder, BlockReader, Tile, TileBuilder, Values, decode_times, encode_times};

use crate::Input;

/// Columns of a tile that are looked at.
const COLUMNS_MAX: usize = 512;

/// A tile without its checksum.
pub(crate) fn tiles(bytes: &[u8]) {
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    let Ok(tile) = Tile::parse(sealed.into()) else { return };
    let (mut times, mut columns, mut values) = (Vec::new(), Vec::new(), Values::default());
    let timed = tile.timestamps(&mut times).is_ok();
    assert!(timed == (times.len() == tile.rows()));
    for at in 0..tile.columns().min(COLUMNS_MAX) {
        let mut cells = Vec::new();
        let read = tile.cells(at, &mut cells).is_ok();
        if let Ok(()) = tile.values(at, &mut values) {
            assert!(read, "column {at}: values without cells");
            same(&cells, &values, tile.rows());
        }
        if read {
            assert_eq!(cells.len(), tile.rows());
            let last = cells.iter().rposition(|cell| *cell != Cell::Absent);
            assert_eq!(tile.last(at).expect("cells are there").map(|(row, _)| row), last);
            if let Ok(Some(cell)) = tile.constant(at) {
                assert!(cells.iter().all(|other| bits(*other) == bits(cell)), "column {at} is not constant");
            }
            columns.push(cells);
        }
    }
    if !timed || columns.is_empty() {
        return;
    }
    let mut builder = TileBuilder::default();
    if builder.begin(&times).is_err() {
        return;
    }
    columns.iter().for_each(|cells| builder.column(cells).expect("as many as rows"));
    let again = builder.finish().expect("a tile");
    for (at, cells) in columns.iter().enumerate() {
        let mut read = Vec::new();
        again.cells(at, &mut read).expect("just written");
        assert!(read.iter().map(|cell| bits(*cell)).eq(cells.iter().map(|cell| bits(*cell))), "column {at}");
    }
}

/// A block in parts: columns, with 128 more of version 2, 2 bytes of rows, 2 bytes of length of the summaries, these,
/// of version 2 the same of the streams, the plain bytes.
pub(crate) fn blocks(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (columns, rows, length) = (input.byte(), input.short() % 2_000, input.short());
    // Of version 2 the columns' own bytes come behind, as they are.
    let (version, columns) = (1 + columns / 128, columns % 128 % 65);
    let summaries = input.take(length.into());
    let streams = if version == 2 { input.short() } else { 0 };
    let streams = input.take(streams.into());
    let Ok(frame) = zstd::bulk::compress(input.0, 1) else { return };
    let mut block = vec![version, columns];
    block.extend_from_slice(&rows.to_le_bytes());
    block.extend_from_slice(&[0; 4]);
    for length in [input.0.len(), summaries.len()] {
        block.extend_from_slice(&u32::try_from(length).expect("small").to_le_bytes());
    }
    if version == 2 {
        block.extend_from_slice(&u32::try_from(frame.len()).expect("small").to_le_bytes());
    }
    block.extend_from_slice(summaries);
    block.extend_from_slice(&frame);
    block.extend_from_slice(streams);
    let check = crc32c::crc32c_append(crc32c::crc32c(&block[..4]), &block[8..]);
    block[4..8].copy_from_slice(&check.to_le_bytes());
    let Ok(block) = Block::parse(&block) else { return };
    let mut reader = BlockReader::new().expect("memory");
    let count = block.summaries().len();
    let (Ok(mut first), mut backward) = (reader.open(&block), BlockReader::new().expect("memory")) else {
        return;
    };
    let mut second = backward.open(&block).expect("it was opened before");
    let (mut values, mut all) = (Values::default(), vec![None; count]);
    for at in (0..count).rev() {
        let mut cells = Vec::new();
        if first.cells(at, &mut cells).is_ok() {
            assert_eq!(cells.len(), block.rows());
            all[at] = Some(cells);
        }
    }
    let mut builder = BlockBuilder::new().expect("memory");
    for (at, cells) in all.iter().enumerate() {
        let read = second.values(at, &mut values).is_ok();
        assert_eq!(read, cells.is_some(), "column {at}: read from the front and from the back");
        if let Some(cells) = cells {
            same(cells, &values, block.rows());
            builder.column(cells).expect("as many as rows");
        }
    }
    if builder.columns() > 0 {
        let bytes = builder.finish().expect("a block");
        let again = Block::parse(&bytes).expect("just written");
        let mut columns = backward.open(&again).expect("just written");
        for (at, cells) in all.iter().flatten().enumerate() {
            columns.values(at, &mut values).expect("just written");
            same(cells, &values, again.rows());
        }
    }
}

/// Timestamps without their checksum.
pub(crate) fn times(bytes: &[u8]) {
    let sealed = [bytes, &crc32c::crc32c(bytes).to_le_bytes()].concat();
    let mut times = Vec::new();
    if decode_times(&sealed, &mut times).is_err() {
        assert!(times.is_empty());
        return;
    }
    let mut again = Vec::new();
    decode_times(&encode_times(&times).expect("as many"), &mut again).expect("just written");
    assert_eq!(again, times);
}

fn bits(cell: Cell) -> Option<u64> {
    match cell {
        Cell::Absent => None,
        Cell::Stale => Some(model::STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    }
}

fn same(cells: &[Cell], values: &Values, rows: usize) {
    assert_eq!((values.bits.len(), cells.len()), (rows, rows));
    let pairs = cells.iter().enumerate().filter_map(|(row, cell)| Some((row, bits(*cell)?)));
    assert!(values.iter().eq(pairs), "{cells:?} read as {values:?}");
}

const ROWS: i64 = 100;

/// Columns of every kind: constant, absent, counters, gauges, floats, stale markers, raw bits.
fn columns() -> Vec<Vec<Cell>> {
    let cell = |slot: i64, row: i64| {
        Cell::Value(Number::from_f64(match slot {
            0 => 5.0,
            1 => (row * row) as f64,
            2 => (row * 7 % 11) as f64 / 100.0,
            3 => (row as f64).sqrt(),
            4 if row % 9 == 0 => return Cell::Stale,
            5 if row % 3 == 0 => return Cell::Absent,
            6 => return Cell::Absent,
            7 if row == 50 => f64::from_bits(0x7ff8_dead_beef_0001),
            _ => (row * 1_000 + slot) as f64,
        }))
    };
    (0..10).map(|slot| (0..ROWS).map(|row| cell(slot, row)).collect()).collect()
}

fn timestamps() -> Vec<i64> {
    (0..ROWS).map(|row| 1_700_000_000_000 + row * 15_000 + row % 3).collect()
}

pub(crate) fn tile_seeds() -> Vec<Vec<u8>> {
    let seed = |columns: &[Vec<Cell>]| {
        let mut builder = TileBuilder::default();
        builder.begin(&timestamps()).expect("begins");
        columns.iter().for_each(|column| builder.column(column).expect("fits"));
        let tile = builder.finish().expect("a tile");
        tile.bytes()[..tile.bytes().len() - 4].to_vec()
    };
    let mut seeds = vec![seed(&columns())];
    seeds.extend(columns().chunks(1).map(seed));
    seeds
}

pub(crate) fn block_seeds() -> Vec<Vec<u8>> {
    let seed = |columns: &[Vec<Cell>]| {
        let mut builder = BlockBuilder::new().expect("memory");
        columns.iter().for_each(|column| builder.column(column).expect("fits"));
        let block = builder.finish().expect("a block");
        let number = |at: usize| u32::from_le_bytes(block[at..at + 4].try_into().expect("four")) as usize;
        let (plain, length) = (number(8), number(12));
        let (summaries, rest) = block[20..].split_at(length);
        let (frame, streams) = rest.split_at(number(16));
        let plain = zstd::bulk::decompress(frame, plain).expect("a frame");
        let short = |length: usize| u16::try_from(length).expect("small").to_le_bytes();
        let head = [128 + block[1], block[2], block[3]];
        [&head, &short(length)[..], summaries, &short(streams.len())[..], streams, &plain].concat()
    };
    let mut seeds = vec![seed(&columns())];
    seeds.extend(columns().chunks(1).map(seed));
    seeds
}

pub(crate) fn times_seeds() -> Vec<Vec<u8>> {
    let seed = |times: &[i64]| {
        let bytes = encode_times(times).expect("encodes");
        bytes[..bytes.len() - 4].to_vec()
    };
    vec![seed(&timestamps()), seed(&[i64::MIN, 0, i64::MAX]), seed(&(0..300).collect::<Vec<_>>())]
}
