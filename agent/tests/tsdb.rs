//! `vedette-agent tsdb …` through the program: what it prints, and how it ends.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use env::{SeededRandom, SimulatedClock};
use model::{AnyHistogram, Labels, METRIC_NAME, Metadata};
use storage::{Appender, Cell, Layout, Number, Row, Slot};
use tsdb::{Store, StoreOptions};

/// Start of a window of two hours.
const T0: i64 = 1_699_999_200_000;

fn open(dir: &Path, clock: &Arc<SimulatedClock>, seed: u64) -> Arc<Store> {
    let clock = Arc::clone(clock) as env::SharedClock;
    Store::open(StoreOptions::new(dir, "n"), clock, SeededRandom::shared(seed), &telemetry::Registry::new())
        .expect("opens")
}

/// Two series over nine hours, and another whose label wants quoting.
fn write(dir: &Path) -> Arc<Store> {
    let clock = SimulatedClock::at(T0);
    let store = open(dir, &clock, 1);
    let slot = |name: &str, path: &str| {
        Slot::new(Labels::from_pairs([(METRIC_NAME, name), ("path", path)]), Metadata::default())
    };
    let slots = vec![slot("a_total", "C:\\x \"y\""), slot("b", "/"), slot("c", "/")];
    let layout = Layout::new(Labels::from_pairs([("job", "j")]), slots).expect("valid");
    for n in 1..=270i64 {
        clock.advance(std::time::Duration::from_secs(120));
        let page = store.layout(layout.clone()).expect("layout");
        let value = |value: f64| Cell::Value(Number::from_f64(value));
        let cells = [value(n as f64 * 1e5), if n == 3 { Cell::Stale } else { value(0.5) }, Cell::Absent];
        store.append(Row { layout: &page, timestamp: T0 + n * 120_000, cells: &cells }).expect("appends");
        store.maintain();
    }
    store
}

fn run(args: &[&str], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vedette-agent"));
    command.arg("tsdb").args(args).arg(dir).output().expect("runs")
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_stopped_folder_is_dumped_analyzed_and_verified() {
    let dir = tempfile::tempdir().expect("dir");
    write(dir.path()).close().expect("closes");
    let max = (T0 + 360_000).to_string();
    let (dumped, _) = text(&run(&["dump", "--max-time", &max], dir.path()));
    let a = r#"{__name__="a_total", job="j", path="C:\\x \"y\""}"#;
    let b = r#"{__name__="b", job="j", path="/"}"#;
    let lines = [
        format!("{a} 100000 1699999320000"),
        format!("{a} 200000 1699999440000"),
        format!("{a} 300000 1699999560000"),
        format!("{b} 0.5 1699999320000"),
        format!("{b} 0.5 1699999440000"),
        format!("{b} NaN 1699999560000"),
    ];
    assert_eq!(dumped.lines().collect::<Vec<_>>(), lines);
    let (some, _) =
        text(&run(&["dump", "--match", "b", "--match", "{path=\"/\"}", "--min-time", &max], dir.path()));
    assert_eq!(some.lines().count(), 268, "each sample once");
    let (late, _) = text(&run(&["dump", "--match", "a_total", "--min-time", "1700031599999"], dir.path()));
    assert_eq!(late, format!("{a} 2.7e+07 1700031600000\n"));

    let found = run(&["analyze", "--limit", "1"], dir.path());
    let (said, complaints) = text(&found);
    assert!(found.status.success() && complaints.is_empty(), "{complaints}");
    for line in [
        "Total Series: 2",
        "Label names: 3",
        "Postings (unique label pairs): 5",
        "Postings entries (total label pairs): 6",
        "Most common label pairs:\n2 job=j\n",
        "Label names with highest cumulative label value length:\n9 path\n",
        "Highest cardinality labels:\n2 __name__\n",
        "Highest cardinality metric names:\n1 a_total\n",
    ] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(said.contains("Total Samples: 540 ("), "{said}");
    let verified = run(&["verify"], dir.path());
    assert!(verified.status.success(), "{verified:?}");
    assert!(text(&verified).0.ends_with("no damage\n"), "{verified:?}");
}

#[test]
fn a_folder_in_use_is_refused_and_its_snapshot_is_not() {
    let dir = tempfile::tempdir().expect("dir");
    let store = write(dir.path());
    for command in ["dump", "analyze", "verify"] {
        let refused = run(&[command], dir.path());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let (_, why) = text(&refused);
        assert!(why.contains("is in use by another process: stop the agent, or make a snapshot"), "{why}");
    }
    store.snapshot("s", false).expect("snapshot");
    let (dumped, _) = text(&run(&["dump"], &dir.path().join("snapshots/s")));
    assert_eq!(dumped.lines().count(), 540);
}

#[test]
fn damage_is_printed_with_its_place_and_ends_in_1() {
    let dir = tempfile::tempdir().expect("dir");
    write(dir.path()).close().expect("closes");
    let mut all: Vec<_> = std::fs::read_dir(dir.path().join("log"))
        .expect("lists")
        .map(|it| it.expect("entry").path())
        .collect();
    all.sort();
    let segment = all.pop().expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("reads");
    bytes[40] ^= 1;
    std::fs::write(&segment, bytes).expect("writes");
    let verified = run(&["verify"], dir.path());
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    let (said, last_words) = text(&verified);
    let name = segment.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(said.contains(&format!("log/{name} offset 20: ")), "{said}");
    assert!(last_words.contains("damage"), "{last_words}");
    let nothing = tempfile::tempdir().expect("dir");
    let refused = run(&["verify"], nothing.path());
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused).1.contains("no store is here"), "{refused:?}");
}

/// A histogram is a line as Prometheus prints it.
#[test]
fn histograms_are_dumped_as_prometheus_prints_them() {
    let dir = tempfile::tempdir().expect("dir");
    let clock = SimulatedClock::at(T0 + 1_000);
    let store = open(dir.path(), &clock, 1);
    let notation = "{{schema:0 count:3 sum:4.5 buckets:[1 2]}}";
    let histogram = AnyHistogram::Float(model::FloatHistogram::from_notation(notation).expect("valid"));
    let mut series = storage::HistogramColumns::new(
        Labels::from_pairs([("job", "j")]),
        Labels::from_pairs([(METRIC_NAME, "h")]),
        Metadata::default(),
    );
    series.append(&*store, T0 + 1_000, &histogram).expect("appends");
    series.end(&*store, T0 + 2_000).expect("appends");
    store.close().expect("closes");
    drop(store);
    let (dumped, _) = text(&run(&["dump"], dir.path()));
    let labels = r#"{__name__="h", job="j"}"#;
    let lines = [
        format!("{labels} {{count:3, sum:4.5, (0.5,1]:1, (1,2]:2}} {}", T0 + 1_000),
        format!("{labels} NaN {}", T0 + 2_000),
    ];
    assert_eq!(dumped.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn a_damaged_folder_is_repaired() {
    let dir = tempfile::tempdir().expect("dir");
    let store = write(dir.path());
    let busy = run(&["repair"], dir.path());
    assert_eq!(busy.status.code(), Some(1), "{busy:?}");
    assert!(text(&busy).1.contains("stop"), "{busy:?}");
    store.close().expect("closes");
    drop(store);
    let whole = run(&["repair"], dir.path());
    assert_eq!((whole.status.code(), text(&whole).0.as_str()), (Some(0), "no damage\n"));
    let mut all: Vec<_> = std::fs::read_dir(dir.path().join("log"))
        .expect("lists")
        .map(|it| it.expect("entry").path())
        .collect();
    all.sort();
    let segment = all.pop().expect("a segment");
    let mut bytes = std::fs::read(&segment).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).expect("writes");
    let planned = run(&["repair", "--dry-run"], dir.path());
    assert_eq!(planned.status.code(), Some(0), "{planned:?}");
    assert!(text(&planned).0.contains("would be set aside"), "{planned:?}");
    assert_eq!(std::fs::read(&segment).expect("reads"), bytes);
    let repaired = run(&["repair"], dir.path());
    assert_eq!(repaired.status.code(), Some(0), "{repaired:?}");
    assert!(text(&repaired).0.contains("gaps recorded; what was damaged is in"), "{repaired:?}");
    assert_eq!(run(&["verify"], dir.path()).status.code(), Some(0));
    assert!(text(&run(&["dump"], dir.path())).1.contains("records of the log were damaged"));
    assert_eq!(run(&["repair", "--unknown"], dir.path()).status.code(), Some(2));
}
