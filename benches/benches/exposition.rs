//! Reading a page: lines alone, and lines with their labels built, as a first scrape does.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use exposition::{Entry, Format, Parser};
use vedette_benches::{SERIES, Scrapes, page};

fn main() {
    divan::main();
}

#[divan::bench]
fn known_lines(bencher: Bencher<'_, '_>) {
    read(bencher, |line| {
        divan::black_box((line.text, line.value));
    });
}

#[divan::bench]
fn with_labels(bencher: Bencher<'_, '_>) {
    read(bencher, |line| {
        divan::black_box(line.labels()).expect("a valid line");
    });
}

fn read(bencher: Bencher<'_, '_>, each: impl Fn(&exposition::SeriesLine<'_>) + Sync) {
    let text = page(Scrapes::default().next_values());
    bencher.counter(ItemsCount::new(SERIES)).counter(BytesCount::of_str(&text)).bench(|| {
        for entry in Parser::new(text.as_bytes(), Format::Text) {
            if let Entry::Series(line) = entry.expect("a valid page") {
                each(&line);
            }
        }
    });
}
