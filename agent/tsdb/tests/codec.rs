//! Tiles and blocks give back the very bits, their short answers agree with the whole, and bytes that
//! nobody wrote are errors, not panics.

mod columns;

use columns::{bits, columns, damage_block, damage_tile};
use proptest::prelude::*;
use storage::{Cell, Number};
use vedette_tsdb::codec::{
    Block, BlockBuilder, BlockReader, CodecError, Tile, TileBuilder, Values, decode_times, encode_times,
};

fn tile(timestamps: &[i64], columns: &[Vec<Cell>]) -> Tile {
    let mut builder = TileBuilder::default();
    builder.begin(timestamps).expect("rows");
    for column in columns {
        builder.column(column).expect("one cell a row");
    }
    builder.finish().expect("a tile")
}

fn block(columns: &[Vec<Cell>]) -> Vec<u8> {
    let mut builder = BlockBuilder::new().expect("memory");
    for column in columns {
        builder.column(column).expect("one cell a row");
    }
    builder.finish().expect("a block")
}

/// What a query sees of a column, made without a codec.
fn naive(cells: &[Cell]) -> Vec<(usize, u64)> {
    let seen = |cell: &Cell| match cell {
        Cell::Absent => None,
        Cell::Stale => Some(model::STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    };
    cells.iter().enumerate().filter_map(|(row, cell)| Some((row, seen(cell)?))).collect()
}

fn all_bits(cells: &[Cell]) -> Vec<(u8, u64)> {
    cells.iter().map(|&cell| bits(cell)).collect()
}

fn check_tile(tile: &Tile, timestamps: &[i64], columns: &[Vec<Cell>]) {
    assert_eq!((tile.rows(), tile.columns()), (timestamps.len(), columns.len()));
    let mut times = Vec::new();
    tile.timestamps(&mut times).expect("timestamps");
    assert_eq!(times, timestamps);
    let mut values = Values::default();
    for (at, column) in columns.iter().enumerate() {
        let mut cells = Vec::new();
        tile.cells(at, &mut cells).expect("cells");
        assert_eq!(all_bits(&cells), all_bits(column), "column {at}");
        tile.values(at, &mut values).expect("values");
        assert_eq!(values.bits.len(), column.len());
        assert_eq!(values.iter().collect::<Vec<_>>(), naive(column), "column {at}");
        let last = column.iter().rposition(|cell| *cell != Cell::Absent);
        let found = tile.last(at).expect("last").map(|(row, cell)| (row, bits(cell)));
        assert_eq!(found, last.map(|row| (row, bits(column[row]))), "column {at}");
        let one = column.iter().all(|cell| bits(*cell) == bits(column[0]));
        let constant = tile.constant(at).expect("constant").map(bits);
        assert!(constant.is_none_or(|cell| one && cell == bits(column[0])), "column {at}");
        assert!(!one || column[0] == Cell::Stale || constant.is_some(), "column {at}");
    }
    assert!(tile.cells(columns.len(), &mut Vec::new()).is_err());
    assert!(tile.last(columns.len()).is_err());
}

fn check_block(bytes: &[u8], columns: &[Vec<Cell>]) {
    let block = Block::parse(bytes).expect("whole");
    assert_eq!((block.rows(), block.summaries().len()), (columns[0].len(), columns.len()));
    let mut reader = BlockReader::new().expect("memory");
    let mut read = reader.open(&block).expect("opens");
    let mut values = Values::default();
    // From the last column on: none may count on being read after those before it.
    for (at, column) in columns.iter().enumerate().rev() {
        let mut cells = Vec::new();
        read.cells(at, &mut cells).expect("cells");
        assert_eq!(all_bits(&cells), all_bits(column), "column {at}");
        read.values(at, &mut values).expect("values");
        assert_eq!(values.iter().collect::<Vec<_>>(), naive(column), "column {at}");
        let numbers: Vec<f64> = column
            .iter()
            .filter_map(|cell| if let Cell::Value(number) = cell { Some(number.to_f64()) } else { None })
            .collect();
        let summary = block.summaries()[at];
        assert_eq!(summary.count as usize, numbers.len());
        assert_eq!(summary.stale as usize, column.iter().filter(|cell| **cell == Cell::Stale).count());
        assert_eq!(summary.nan as usize, numbers.iter().filter(|number| number.is_nan()).count());
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            assert_eq!((summary.first.to_bits(), summary.last.to_bits()), (first.to_bits(), last.to_bits()));
        }
        if numbers.iter().any(|number| !number.is_nan()) {
            // `f64::min` and `f64::max` pass over NaN as well.
            assert_eq!(summary.min, numbers.iter().copied().fold(f64::NAN, f64::min));
            assert_eq!(summary.max, numbers.iter().copied().fold(f64::NAN, f64::max));
        }
    }
    assert!(read.cells(columns.len(), &mut Vec::new()).is_err());
}

proptest! {
    #[test]
    fn tiles_give_back_the_very_bits(
        (timestamps, columns) in columns(1..=Tile::ROWS_MAX, 0..12),
    ) {
        let tile = tile(&timestamps, &columns);
        check_tile(&tile, &timestamps, &columns);
        let read = Tile::parse(tile.bytes().clone()).expect("whole");
        prop_assert_eq!(&read, &tile);
        let rows: Vec<Vec<Cell>> =
            (0..timestamps.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
        let rows: Vec<&[Cell]> = rows.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(TileBuilder::default().rows(&timestamps, &rows).expect("a tile"), tile);
    }

    #[test]
    fn blocks_give_back_the_very_bits((timestamps, columns) in columns(1..=200, 1..8)) {
        check_block(&block(&columns), &columns);
        let bytes = encode_times(&timestamps).expect("timestamps");
        let mut times = Vec::new();
        decode_times(&bytes, &mut times).expect("whole");
        prop_assert_eq!(times, timestamps);
    }

    #[test]
    fn damage_is_an_error(
        (timestamps, columns) in columns(1..=40, 1..6), at: prop::sample::Index, bit in 0u8..8,
    ) {
        let flipped = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            let place = at.index(bytes.len());
            bytes[place] ^= 1 << bit;
            bytes
        };
        let cut = |bytes: &[u8]| bytes[..at.index(bytes.len())].to_vec();
        let tile = tile(&timestamps, &columns);
        let block = block(&columns);
        let times = encode_times(&timestamps).expect("timestamps");
        for damage in [&flipped as &dyn Fn(&[u8]) -> Vec<u8>, &cut] {
            prop_assert!(Tile::parse(damage(tile.bytes()).into()).is_err());
            prop_assert!(Block::parse(&damage(&block)).is_err());
            prop_assert!(decode_times(&damage(&times), &mut Vec::new()).is_err());
        }
    }

    /// Bytes of a writer that computes checksums over nonsense: no panic, no more memory than the
    /// header admits.
    #[test]
    fn nonsense_with_a_good_checksum_never_panics(
        (timestamps, columns) in columns(1..=80, 1..6),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        read_tile(&damage_tile(&tile(&timestamps, &columns), &places));
        read_block(&damage_block(&block(&columns), &places));
    }

    #[test]
    fn any_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_tile(&bytes);
        read_block(&bytes);
        prop_assert!(decode_times(&bytes, &mut Vec::new()).is_err());
        // Behind the checksum, with a version that is known.
        if let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        let check = crc32c::crc32c(&bytes).to_le_bytes();
        read_tile(&[bytes.as_slice(), &check].concat());
        let _ = decode_times(&[bytes.as_slice(), &check].concat(), &mut Vec::new());
        for version in [1, 2] {
            if let Some(first) = bytes.first_mut() {
                *first = version;
            }
            columns::sign_block(&mut bytes);
            read_block(&bytes);
        }
    }
}

/// Reads whatever there is.
fn read_tile(bytes: &[u8]) {
    let Ok(tile) = Tile::parse(bytes.into()) else { return };
    let _ = tile.timestamps(&mut Vec::new());
    for at in 0..tile.columns() {
        let mut cells = Vec::new();
        if tile.cells(at, &mut cells).is_ok() {
            assert_eq!(cells.len(), tile.rows());
        }
        let mut values = Values::default();
        if tile.values(at, &mut values).is_ok() {
            assert_eq!(values.bits.len(), tile.rows());
        }
        let _ = (tile.last(at), tile.constant(at));
    }
}

fn read_block(bytes: &[u8]) {
    let Ok(block) = Block::parse(bytes) else { return };
    let mut reader = BlockReader::new().expect("memory");
    let Ok(mut columns) = reader.open(&block) else { return };
    for at in 0..block.summaries().len() {
        let mut cells = Vec::new();
        if columns.cells(at, &mut cells).is_ok() {
            assert_eq!(cells.len(), block.rows());
        }
        let _ = columns.values(at, &mut Values::default());
    }
}

#[test]
fn what_does_not_fit_is_refused() -> Result<(), CodecError> {
    let cells = [Cell::Stale; Tile::ROWS_MAX + 1];
    let mut tiles = TileBuilder::default();
    assert!(tiles.begin(&[]).is_err());
    assert!(tiles.begin(&[0; Tile::ROWS_MAX + 1]).is_err());
    assert!(tiles.finish().is_err());
    tiles.begin(&[0; 3])?;
    assert!(tiles.column(&cells[..2]).is_err());
    let mut blocks = BlockBuilder::new()?;
    assert!(blocks.finish().is_err());
    assert!(blocks.column(&[]).is_err());
    assert!(blocks.column(&vec![Cell::Absent; Block::ROWS_MAX + 1]).is_err());
    for _ in 0..Block::COLUMNS_MAX {
        blocks.column(&cells[..2])?;
    }
    assert!(blocks.column(&cells[..2]).is_err());
    assert!(encode_times(&[]).is_err());
    assert!(encode_times(&vec![0; Block::ROWS_MAX + 1]).is_err());
    Ok(())
}

#[test]
fn the_largest_block_comes_back() {
    let rows = Block::ROWS_MAX as i64;
    let noise = |row: i64, column: i64| (row * 2_654_435_761 + column * 40_503) % 1_000;
    let cell = |row, column| Cell::Value(Number::from_f64(noise(row, column) as f64));
    let columns: Vec<Vec<Cell>> = (0..3).map(|at| (0..rows).map(|row| cell(row, at)).collect()).collect();
    check_block(&block(&columns), &columns);
}

/// The worked example of FORMAT.md.
#[test]
fn the_worked_example() {
    let number = |value: f64| Cell::Value(Number::from_f64(value));
    let columns = [vec![number(5.0); 3], vec![number(1.5), Cell::Stale, number(2.5)], vec![Cell::Absent; 3]];
    let timestamps = [1_000, 16_000, 31_000];
    let tile = tile(&timestamps, &columns);
    check_tile(&tile, &timestamps, &columns);
    let written: [&[u8]; 7] = [
        &[1, 0, 3, 0, 3, 0, 0, 0, 10, 0, 0, 0],
        &[0x41, 0xd0, 0x0f, 12, 3, 0xa6, 0x3e, 0x75, 0, 0],
        &[3, 0, 12, 0, 12, 0],
        &[0x00, 0x00, 0x0a],
        &[0x01, 0x51, 1, 1, 1],
        &[0x1e, 3, 1, 0x05],
        &[0xb7, 0x5d, 0x35, 0x07],
    ];
    assert_eq!(tile.bytes()[..], written.concat());
}
