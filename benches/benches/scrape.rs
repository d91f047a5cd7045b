//! From a page's bytes to a row: recognised, with a line out of place, packed, and understood anew.

use std::io::Write as _;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use exposition::Format;
use flate2::Compression;
use flate2::write::GzEncoder;
use model::Labels;
use scrape::{PageAppender, ScrapeConfig};
use vedette_benches::{NODE_SERIES, NodePage, NullAppender};

/// Pages that one measure takes in turn.
const PAGES: usize = 64;

fn main() {
    divan::main();
}

fn target() -> PageAppender {
    let labels = Labels::from_pairs([("instance", "host:9100"), ("job", "node")]);
    PageAppender::new(ScrapeConfig::new("node"), labels, Arc::new(NullAppender::default()))
}

fn pages(next: fn(&mut NodePage) -> String) -> Vec<Vec<u8>> {
    let mut node = NodePage::new(1);
    (0..PAGES).map(|_| next(&mut node).into_bytes()).collect()
}

fn gzip(page: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(page).expect("packed");
    encoder.finish().expect("packed")
}

/// Takes a page's body: the target, the body, the time.
type Take = fn(&mut PageAppender, &[u8], i64) -> Result<usize, String>;

fn plain(appender: &mut PageAppender, body: &[u8], timestamp: i64) -> Result<usize, String> {
    appender.append(body, Format::Text, timestamp)
}

fn run(bencher: Bencher<'_, '_>, bodies: &[Vec<u8>], take: Take) {
    let mut appender = target();
    let mut timestamp = 0;
    take(&mut appender, &bodies[PAGES - 1], timestamp).expect("a good page");
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    bencher.counter(ItemsCount::new(PAGES * NODE_SERIES)).counter(BytesCount::new(bytes)).bench_local(|| {
        for body in bodies {
            timestamp += 1;
            let count = take(&mut appender, body, timestamp).expect("a good page");
            assert_eq!(count, NODE_SERIES);
        }
    });
}

/// As a first scrape: every label is read, every layout made.
#[divan::bench(sample_count = 20)]
fn full_parse(bencher: Bencher<'_, '_>) {
    run(bencher, &pages(NodePage::next_page), |appender, body, timestamp| {
        appender.forget();
        plain(appender, body, timestamp)
    });
}

/// A quarter of the values changed, nothing else did.
#[divan::bench(sample_count = 50)]
fn known_page(bencher: Bencher<'_, '_>) {
    run(bencher, &pages(NodePage::next_page), plain);
}

/// Two lines changed places besides.
#[divan::bench(sample_count = 50)]
fn reordered_line(bencher: Bencher<'_, '_>) {
    run(bencher, &pages(NodePage::next_reordered), plain);
}

/// The known page, packed.
#[divan::bench(sample_count = 50)]
fn known_page_gzip(bencher: Bencher<'_, '_>) {
    let packed: Vec<_> = pages(NodePage::next_page).iter().map(|page| gzip(page)).collect();
    run(bencher, &packed, |appender, body, timestamp| appender.append_gzip(body, Format::Text, timestamp));
}
