//! The store's codecs: tiles and blocks of a node_exporter's columns, and how small they are.

use divan::Bencher;
use divan::counter::ItemsCount;
use storage::Cell;
use tsdb::codec::{Block, BlockBuilder, BlockReader, Tile, TileBuilder, Values, encode_times};
use vedette_benches::columns;

/// A window at 15 s.
const WINDOW: usize = 480;
/// What the head seals together.
const MICRO: usize = 16;

fn main() {
    sizes();
    divan::main();
}

/// Bytes per sample, timestamps and headers among them.
#[expect(clippy::print_stdout, reason = "a size is what this measures")]
fn sizes() {
    for rows in [MICRO, Tile::ROWS_MAX] {
        let (timestamps, columns) = columns(rows);
        let bytes = tile(&timestamps, &columns).bytes().len();
        println!("tile of {rows} rows: {:.3} B/sample", bytes as f64 / samples(&columns) as f64);
    }
    let (timestamps, columns) = columns(WINDOW);
    let blocks: usize = blocks(&columns).iter().map(Vec::len).sum();
    let bytes = blocks + encode_times(&timestamps).expect("timestamps").len();
    println!("blocks of {WINDOW} rows: {:.3} B/sample", bytes as f64 / samples(&columns) as f64);
}

fn samples(columns: &[Vec<Cell>]) -> usize {
    columns.iter().flatten().filter(|cell| **cell != Cell::Absent).count()
}

fn put_tile(builder: &mut TileBuilder, timestamps: &[i64], columns: &[Vec<Cell>]) -> Tile {
    builder.begin(timestamps).expect("rows");
    for column in columns {
        builder.column(column).expect("one cell a row");
    }
    builder.finish().expect("a tile")
}

fn tile(timestamps: &[i64], columns: &[Vec<Cell>]) -> Tile {
    put_tile(&mut TileBuilder::default(), timestamps, columns)
}

fn put_block(builder: &mut BlockBuilder, columns: &[Vec<Cell>]) -> Vec<u8> {
    for column in columns {
        builder.column(column).expect("one cell a row");
    }
    builder.finish().expect("a block")
}

fn blocks(columns: &[Vec<Cell>]) -> Vec<Vec<u8>> {
    let mut builder = BlockBuilder::new().expect("memory");
    columns.chunks(Block::COLUMNS_MAX).map(|columns| put_block(&mut builder, columns)).collect()
}

#[divan::bench(args = [MICRO, Tile::ROWS_MAX])]
fn encode_tile(bencher: Bencher<'_, '_>, rows: usize) {
    let (timestamps, columns) = columns(rows);
    let mut builder = TileBuilder::default();
    bencher
        .counter(ItemsCount::new(samples(&columns)))
        .bench_local(|| put_tile(&mut builder, &timestamps, &columns));
}

/// As a query reads it.
#[divan::bench]
fn tile_values(bencher: Bencher<'_, '_>) {
    let (timestamps, columns) = columns(Tile::ROWS_MAX);
    let tile = tile(&timestamps, &columns);
    let mut values = Values::default();
    bencher.counter(ItemsCount::new(samples(&columns))).bench_local(|| {
        for at in 0..tile.columns() {
            tile.values(at, &mut values).expect("whole");
            divan::black_box(&values);
        }
    });
}

/// As the next encoder reads it.
#[divan::bench]
fn tile_cells(bencher: Bencher<'_, '_>) {
    let (timestamps, columns) = columns(Tile::ROWS_MAX);
    let tile = tile(&timestamps, &columns);
    let mut cells = Vec::new();
    bencher.counter(ItemsCount::new(samples(&columns))).bench_local(|| {
        for at in 0..tile.columns() {
            cells.clear();
            tile.cells(at, &mut cells).expect("whole");
            divan::black_box(&cells);
        }
    });
}

/// One value a column.
#[divan::bench]
fn tile_last(bencher: Bencher<'_, '_>) {
    let (timestamps, columns) = columns(Tile::ROWS_MAX);
    let tile = tile(&timestamps, &columns);
    bencher.counter(ItemsCount::new(columns.len())).bench_local(|| {
        for at in 0..tile.columns() {
            divan::black_box(tile.last(at).expect("whole"));
        }
    });
}

#[divan::bench]
fn encode_blocks(bencher: Bencher<'_, '_>) {
    let (_, columns) = columns(WINDOW);
    let mut builder = BlockBuilder::new().expect("memory");
    bencher.counter(ItemsCount::new(samples(&columns))).bench_local(|| {
        for columns in columns.chunks(Block::COLUMNS_MAX) {
            divan::black_box(put_block(&mut builder, columns));
        }
    });
}

#[divan::bench]
fn block_values(bencher: Bencher<'_, '_>) {
    let (_, columns) = columns(WINDOW);
    let blocks = blocks(&columns);
    let mut reader = BlockReader::new().expect("memory");
    let mut values = Values::default();
    bencher.counter(ItemsCount::new(samples(&columns))).bench_local(|| {
        for bytes in &blocks {
            let block = Block::parse(bytes).expect("whole");
            let mut columns = reader.open(&block).expect("whole");
            for at in 0..block.summaries().len() {
                columns.values(at, &mut values).expect("whole");
                divan::black_box(&values);
            }
        }
    });
}

/// What a long query needs instead.
#[divan::bench]
fn block_summaries(bencher: Bencher<'_, '_>) {
    let (_, columns) = columns(WINDOW);
    let blocks = blocks(&columns);
    bencher.counter(ItemsCount::new(columns.len())).bench_local(|| {
        for bytes in &blocks {
            divan::black_box(Block::parse(bytes).expect("whole").summaries());
        }
    });
}
