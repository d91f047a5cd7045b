//! The store: rows in, and a start that reads them again.

use divan::Bencher;
use divan::counter::ItemsCount;
use vedette_benches::{Bench, SERIES};

/// An hour of one target at 15 s.
const ROWS: usize = 240;

fn main() {
    divan::main();
}

/// Rows of 600 series until the log has them.
#[divan::bench(sample_count = 20)]
fn hour_of_rows(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(ROWS * SERIES)).with_inputs(Bench::new).bench_local_values(
        |mut bench| {
            for _ in 0..ROWS {
                bench.append();
            }
            bench.store.flush().expect("the log is written");
            bench
        },
    );
}

/// From a folder to a store that answers.
#[divan::bench(sample_count = 20)]
fn reopen_an_hour(bencher: Bencher<'_, '_>) {
    let mut bench = Bench::new();
    for _ in 0..ROWS {
        bench.append();
    }
    let open = bench.close();
    bencher.counter(ItemsCount::new(ROWS * SERIES)).bench_local(|| {
        // Closed within the measure: the folder's lock allows one at a time.
        open().close().expect("the log is written");
    });
}
