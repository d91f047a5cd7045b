//! Reading a protobuf page: its series alone, their labels too, and native histograms.

mod wire;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use exposition::{HistogramForms, ProtobufEntry, ProtobufParser};
use vedette_benches::SERIES;
use wire::{HISTOGRAMS, floats, histograms};

fn main() {
    divan::main();
}

fn read(bencher: Bencher<'_, '_>, page: &[u8], items: u64, each: impl Fn(ProtobufEntry<'_>) + Sync) {
    bencher.counter(ItemsCount::new(items)).counter(BytesCount::of_slice(page)).bench(|| {
        for entry in ProtobufParser::new(page, HistogramForms::Native) {
            each(entry.expect("a valid page"));
        }
    });
}

#[divan::bench]
fn known_series(bencher: Bencher<'_, '_>) {
    read(bencher, &floats(), SERIES as u64, |entry| {
        if let ProtobufEntry::Series(series) = entry {
            series.name.identity(|bytes| {
                divan::black_box(bytes);
            });
            divan::black_box(series.value);
        }
    });
}

#[divan::bench]
fn with_labels(bencher: Bencher<'_, '_>) {
    read(bencher, &floats(), SERIES as u64, |entry| {
        if let ProtobufEntry::Series(series) = entry {
            divan::black_box(series.name.labels()).expect("a valid series");
        }
    });
}

#[divan::bench]
fn native_histograms(bencher: Bencher<'_, '_>) {
    read(bencher, &histograms(), HISTOGRAMS, |entry| {
        divan::black_box(entry);
    });
}
