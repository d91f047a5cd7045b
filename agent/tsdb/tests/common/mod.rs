//! What the store's tests share: stores on a simulated clock, rows, and everything a store answers.

#![allow(dead_code, reason = "every test file uses a part")]

mod batches;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::{SeededRandom, SimulatedClock};
use model::{Labels, Matcher};
use storage::{
    AppendOutcome, Appender, Cell, Frame, FrameSink, FrameSource, LabelQuery, Layout, LayoutRef, Number,
    Querier, Receipt, Row, Select, Slot, StreamId, TimeRange,
};
use vedette_tsdb::{Store, StoreOptions};

/// Start of a 2 h window.
pub(crate) const T0: i64 = 1_699_999_200_000;
pub(crate) const WINDOW: i64 = 7_200_000;

/// A property's cases: `quick` of them, or what `PROPTEST_CASES` says.
pub(crate) fn cases(quick: u32) -> proptest::test_runner::Config {
    let told = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    proptest::test_runner::Config {
        cases: told.unwrap_or(quick),
        failure_persistence: None,
        ..Default::default()
    }
}

/// The same for the property that releases are judged by: at soak at least `soak` of them.
pub(crate) fn cases_or(quick: u32, soak: u32) -> proptest::test_runner::Config {
    let mut config = cases(quick);
    if std::env::var_os("VEDETTE_SOAK").is_some() {
        config.cases = config.cases.max(soak);
    }
    config
}

/// A folder for a life: in memory where that can be, as thousands of lives sync a hundred times each and no
/// power is cut.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("dir")
}

pub(crate) type Samples = BTreeMap<Labels, Vec<(i64, u64)>>;

pub(crate) fn options(dir: &Path, node: &str) -> StoreOptions {
    let mut options = StoreOptions::new(dir, node);
    options.external = Labels::from_pairs([("agent", node), ("site", "x")]);
    options.commit_interval = std::time::Duration::from_millis(5);
    options.sync_interval = std::time::Duration::from_millis(10);
    // The disk that the tests run on decides nothing.
    options.disk_reserve = Some(0);
    options
}

pub(crate) fn open_with(options: StoreOptions, clock: &Arc<SimulatedClock>, seed: u64) -> Arc<Store> {
    let clock = Arc::clone(clock) as env::SharedClock;
    Store::open(options, clock, SeededRandom::shared(seed), &telemetry::Registry::new()).expect("opens")
}

pub(crate) fn open(dir: &Path, node: &str, clock: &Arc<SimulatedClock>, seed: u64) -> Arc<Store> {
    open_with(options(dir, node), clock, seed)
}

pub(crate) fn layout(instance: &str, slots: usize) -> Layout {
    let slot = |at| Slot {
        labels: Labels::from_pairs([("__name__", format!("m{at}"))]),
        metadata: Arc::default(),
        part: None,
    };
    Layout::new(Labels::from_pairs([("instance", instance)]), (0..slots).map(slot).collect()).expect("valid")
}

pub(crate) fn value(value: f64) -> Cell {
    Cell::Value(Number::from_f64(value))
}

pub(crate) fn append(store: &Store, layout: &LayoutRef, timestamp: i64, cells: &[Cell]) -> AppendOutcome {
    Appender::append(store, Row { layout, timestamp, cells }).expect("appends")
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(future)
}

pub(crate) fn select(store: &Store, matchers: Vec<Matcher>, range: TimeRange) -> Samples {
    let asked = Select { matchers: matchers.clone(), range, samples_max: usize::MAX };
    let set = wait(store.select(asked)).expect("answers");
    assert!(set.series.is_sorted_by(|one, two| one.labels < two.labels), "in order, no two alike");
    let bits = |series: &model::Series| {
        series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect()
    };
    let found: Samples = set.series.iter().map(|series| (series.labels.clone(), bits(series))).collect();
    let (numbers, histograms) = wait(batches::read(store, matchers, range));
    assert_eq!(numbers, found, "batches are the series");
    let texts = |series: &storage::HistogramSeries| series.samples.iter().map(batches::text).collect();
    let plain = set.histograms.iter().map(|series| (series.labels.clone(), texts(series)));
    assert_eq!(histograms, plain.collect::<batches::Histograms>(), "batches are the series of histograms");
    found
}

/// Everything that a store answers; and that it answers for a part of the time with a part of it.
pub(crate) fn everything(store: &Store) -> Samples {
    let all = select(store, Vec::new(), TimeRange::ALL);
    let mut times: Vec<i64> = all.values().flatten().map(|(time, _)| *time).collect();
    times.sort_unstable();
    if let (Some(start), Some(end)) = (times.get(times.len() / 4), times.get(times.len() * 3 / 4)) {
        let range = TimeRange { start: *start, end: *end };
        let mut part = all.clone();
        part.values_mut().for_each(|samples| samples.retain(|(time, _)| range.contains(*time)));
        part.retain(|_, samples| !samples.is_empty());
        assert_eq!(select(store, Vec::new(), range), part, "{range:?}");
    }
    // Small stores are asked the most often, and have all there is to be seen of lists.
    if all.len() <= 64 {
        check_lists(store, &all);
    }
    all
}

/// Every series that has samples is listed, and names and values are those of what is listed.
fn check_lists(store: &Store, all: &Samples) {
    let query = || LabelQuery { matcher_sets: Vec::new(), range: TimeRange::ALL, limit: usize::MAX };
    let (listed, _) = wait(store.series(query())).expect("answers");
    assert!(listed.is_sorted_by(|one, two| one < two), "in order, no two alike");
    assert!(all.keys().all(|labels| listed.binary_search(labels).is_ok()), "all are listed");
    let names = listed.iter().flat_map(|labels| labels.pairs().map(|(name, _)| name.to_owned()));
    let names: BTreeSet<String> = names.collect();
    assert!(wait(store.label_names(query())).expect("answers").0.iter().eq(&names));
    for name in &names {
        let values: BTreeSet<&str> = listed.iter().filter_map(|labels| labels.get(name)).collect();
        assert!(wait(store.label_values(name, query())).expect("answers").0.iter().eq(values), "{name}");
    }
}

/// All frames of a stream, its layouts made known to `to`, its stream opened there.
pub(crate) fn introduce(from: &Store, to: &Store, stream: &StreamId) -> Vec<Frame> {
    let info = from.streams().into_iter().find(|info| info.id == *stream).expect("known");
    to.open_stream(info).expect("opens");
    let frames = from.frames(stream, 1, usize::MAX).expect("reads");
    for id in frames.iter().flat_map(|frame| to.unknown_layouts(frame.layouts())) {
        to.add_layout((*from.find_layout(id).expect("known")).clone()).expect("adds");
    }
    frames
}

pub(crate) fn offer(store: &Store, frame: &Frame) -> Receipt {
    FrameSink::append(store, frame.clone()).expect("takes")
}

/// Copies a folder as it is at one moment: once more where a file went meanwhile, as the database's do in the
/// background.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    for _ in 0..100 {
        match try_copy(from, to) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::remove_dir_all(to).expect("removes");
            }
            done => return done.expect("copies"),
        }
    }
    panic!("{} does not hold still", from.display());
}

fn try_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            try_copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The log's segments in order.
pub(crate) fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir.join("log"))
        .expect("lists")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
        .collect();
    files.sort();
    files
}

/// The files of sealed blocks, as RocksDB itself knows them.
pub(crate) fn sealed_blocks(dir: &Path) -> Vec<PathBuf> {
    let (dir, names) = (dir.join("sealed"), ["default", "identity", "blocks"]);
    let db =
        rocksdb::DB::open_cf_for_read_only(&rocksdb::Options::default(), &dir, names, false).expect("opens");
    let files =
        db.live_files().expect("lists").into_iter().filter(|file| file.column_family_name == "blocks");
    let mut files: Vec<_> = files.map(|file| dir.join(file.name.trim_start_matches('/'))).collect();
    files.sort();
    files
}
