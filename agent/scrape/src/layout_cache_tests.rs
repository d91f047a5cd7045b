//! Pages that change from scrape to scrape: what the cache makes of them is what a full parse makes of each.

use std::fmt::Write as _;
use std::sync::Arc;

use model::{Labels, RelabelConfig, RelabelParts};
use parking_lot::Mutex;
use proptest::prelude::*;
use storage::{
    AppendError, AppendOutcome, Appender, CommitSender, Layout, LayoutId, LayoutRef, Row, commit_channel,
};

use super::*;
use crate::config::ScrapeConfig;
use crate::fetch::Page;
use crate::metrics::Metrics;
use crate::series::{Counts, Origin, SeriesState};
use crate::sink::{Losses, Sink};

/// Writes down each cell: time, series, what the page said of it, and what it holds.
struct Recorder {
    cells: Mutex<Vec<(i64, String, String, Cell)>>,
    appends: Mutex<u64>,
    /// Layout references live for so many rows.
    life: u64,
    /// Each layout's newest row: of what changes after it only that is taken which is said to.
    newest: Mutex<HashMap<LayoutId, (RowMark, Vec<Cell>)>>,
    commits: CommitSender,
}

impl Appender for Recorder {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), *self.appends.lock() / self.life))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        self.append_changes(row, None).map(|(outcome, _)| outcome)
    }

    fn append_changes(
        &self,
        row: Row<'_>,
        changes: Option<Changes<'_>>,
    ) -> Result<(AppendOutcome, Option<RowMark>), AppendError> {
        let mut appends = self.appends.lock();
        if row.layout.token() != *appends / self.life {
            return Err(AppendError::Relayout);
        }
        *appends += 1;
        let layout = row.layout.layout();
        assert_eq!(row.cells.len(), layout.slots().len(), "a row is as wide as its layout");
        let (mut newest, mut taken) = (self.newest.lock(), row.cells.to_vec());
        if let Some(changes) = changes
            && let Some((_, cells)) = newest.remove(&layout.id()).filter(|(mark, _)| *mark == changes.since)
        {
            taken = cells;
            changes.iter().for_each(|slot| taken[slot] = row.cells[slot]);
        }
        let cells = taken.iter().enumerate().filter(|(_, cell)| **cell != Cell::Absent);
        self.cells.lock().extend(cells.map(|(slot, cell)| {
            let said = format!("{:?}", layout.slots()[slot].metadata);
            (row.timestamp, layout.series(slot).to_string(), said, *cell)
        }));
        let mark = RowMark::new(row.layout.token(), *appends);
        newest.insert(layout.id(), (mark, taken));
        let outcome = AppendOutcome {
            appended: 0,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.commits.commit(1),
        };
        Ok((outcome, Some(mark)))
    }
}

/// One target's scrapes.
struct Scraped {
    store: Arc<Recorder>,
    sink: Sink,
    texts: Texts,
    state: SeriesState,
    config: ScrapeConfig,
    target: Labels,
    time: i64,
}

/// All that a page brings about.
type Effect = (Result<String, String>, Counts, u64, Vec<(i64, String, String, Cell)>);

impl Scraped {
    fn new(config: &ScrapeConfig, life: u64) -> Self {
        let store = Arc::new(Recorder {
            cells: Mutex::default(),
            appends: Mutex::new(0),
            life,
            newest: Mutex::default(),
            commits: commit_channel(),
        });
        let (commits, _) = tokio::sync::mpsc::channel(1);
        let appender = Arc::clone(&store) as Arc<dyn Appender>;
        Self {
            store,
            sink: Sink { appender, metrics: Metrics::default(), commits },
            texts: Texts::default(),
            state: SeriesState::default(),
            config: config.clone(),
            target: Labels::from_pairs([("instance", "i"), ("job", "j")]),
            time: 0,
        }
    }

    fn scrape(&mut self, page: &[u8], format: Format) -> Effect {
        self.time += 1_000;
        let (mut losses, mut counts) = (Losses::default(), Counts::default());
        let origin = Origin { config: &self.config, target: &self.target, texts: &self.texts };
        let page = Page { bytes: page, format: crate::fetch::PageFormat::Text(format) };
        let written = self.state.write(&page, self.time, origin, &self.sink, &mut losses, &mut counts);
        if written.is_err() {
            self.state.end(self.time, &self.sink, &mut losses).expect("ended");
        }
        self.sink.settle("", losses);
        let mut cells = std::mem::take(&mut *self.store.cells.lock());
        cells.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
        let said = written.map(|families| format!("{families:?}")).map_err(|error| error.to_string());
        (said, counts, self.sink.metrics.duplicates.get(), cells)
    }

    fn parsed(&self) -> u64 {
        self.sink.metrics.pages_parsed.get()
    }
}

#[test]
fn what_is_the_same_is_not_parsed_again() {
    let page =
        "# HELP a A.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2.5\na{x=\"3\"} 1e3\n# TYPE b counter\nb 4\n";
    for (change, hit) in [
        (&[][..], true),
        (&[(" 2.5", " 17")], true),
        (&[(" 1e3", " 1.00000000000000000000001"), (" 4", " NaN")], true),
        (&[("{x=\"2\"} 2.5\na{x=\"3\"}", "{x=\"3\"} 7\na{x=\"2\"}")], true),
        (&[("# HELP", "# well\n\n# HELP")], true),
        (&[("b 4\n", "b 4")], true),
        (&[("b 4\n", "b 4\r\n")], true),
        (&[(" 4", " 4 1000")], false),
        (&[("HELP a A.", "HELP a Another.")], false),
        (&[("a{x=\"2\"} 2.5\n", "")], false),
        (&[("b 4", "b 4\nb 5")], false),
        (&[("b 4", "b{} 4")], false),
        (&[("b 4\n", "b 4\n# the end\n")], false),
    ] {
        let (mut cached, mut plain) =
            (Scraped::new(&ScrapeConfig::new("j"), 99), Scraped::new(&ScrapeConfig::new("j"), 99));
        let changed = change.iter().fold(page.to_owned(), |page, (from, to)| page.replacen(from, to, 1));
        for (number, page) in [page, &changed, page, &changed].into_iter().enumerate() {
            let before = cached.parsed();
            let effect = cached.scrape(page.as_bytes(), Format::Text);
            plain.state.reconfigured();
            assert_eq!(effect, plain.scrape(page.as_bytes(), Format::Text), "{changed}");
            if number > 0 {
                assert_eq!(cached.parsed() == before, hit, "{changed}");
            }
        }
    }
}

#[test]
fn lines_far_from_their_place_are_found() {
    let page = |order: &mut dyn Iterator<Item = usize>| {
        order.fold(String::new(), |page, line| page + &format!("a{{x=\"{line}\"}} {line}\n"))
    };
    let mut cached = Scraped::new(&ScrapeConfig::new("j"), 99);
    let first = cached.scrape(page(&mut (0..500)).as_bytes(), Format::Text);
    for step in [7, 11, 499, 1] {
        let text = page(&mut (0..500).map(|line| line * step % 500));
        let effect = cached.scrape(text.as_bytes(), Format::Text);
        assert_eq!(effect.3.len(), first.3.len());
        assert!(effect.3.iter().zip(&first.3).all(|(now, then)| (&now.1, now.3) == (&then.1, then.3)));
    }
    assert_eq!(cached.parsed(), 1);
}

#[test]
fn targets_of_one_shape_share_its_text() {
    let page = b"# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\"} 2\n";
    let reading = Reading { format: Format::Text, honor_timestamps: true };
    let texts = Texts::default();
    let samples = page::read(page, Format::Text, true).expect("a good page").samples;
    let [one, two] = [(); 2].map(|()| {
        let read = page::Lines { key: 0, samples: samples.clone(), exemplars: Vec::new() };
        LayoutCache::new(page, reading, read, Places::InOrder, &texts)
    });
    assert!(Arc::ptr_eq(&one.blocks[0].text, &two.blocks[0].text));
    assert_eq!(size_of::<Line>(), 24, "one for each series of each target");
}

/// A page as its exporter thinks of it.
#[derive(Clone, Debug)]
struct Family {
    name: u8,
    help: u8,
    kind: u8,
    comment: u8,
    lines: Vec<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    label: u8,
    value: u8,
    timed: bool,
    exemplar: bool,
    spacing: u8,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Value(u8, u8),
    Move(u8, u8),
    Remove(u8),
    Copy(u8),
    Add(u8, u8),
    Help(u8, u8),
    Kind(u8, u8),
    Comment(u8, u8),
    Timed(u8),
    Exemplar(u8),
    Spacing(u8, u8),
    SwapFamilies(u8, u8),
    Format,
}

const VALUES: [&str; 16] = [
    "0",
    "1",
    "12.5",
    "1.6777216e+07",
    "-0",
    "NaN",
    "+Inf",
    "0.30000000000000004",
    "123456789.25",
    "2",
    "00000000000000000000001",
    "00000000000000000000002",
    "1e400",
    "-3.25e-05",
    "9007199254740993",
    "1234567890123456",
];
const LABELS: [&str; 10] = [
    "",
    "{x=\"1\"}",
    "{x=\"2\"}",
    "{x=\"3\"}",
    "{x=\"4\",}",
    "{job=\"other\"}",
    "_bucket{le=\"1\"}",
    "_bucket{le=\"1.0\"}",
    "{quantile=\"0.50\"}",
    "_sum",
];
const KINDS: [&str; 5] = ["", "gauge", "counter", "histogram", "summary"];

#[derive(Clone, Debug)]
struct Exporter {
    families: Vec<Family>,
    format: Format,
}

fn pick(number: u8, count: usize) -> Option<usize> {
    (count > 0).then(|| usize::from(number) % count.max(1))
}

impl Exporter {
    fn new() -> Self {
        let sample = |label| Sample { label, value: label, timed: false, exemplar: false, spacing: 0 };
        let family = |name: u8| Family {
            name,
            help: name,
            kind: name % 5,
            comment: 0,
            lines: (name..name + 4).map(sample).collect(),
        };
        Self { families: (0..5).map(family).collect(), format: Format::Text }
    }

    fn family(&mut self, number: u8) -> Option<&mut Family> {
        let at = pick(number, self.families.len())?;
        self.families.get_mut(at)
    }

    fn line(&mut self, number: u8) -> Option<&mut Sample> {
        let family = self.family(number % 5)?;
        let at = pick(number / 5, family.lines.len())?;
        family.lines.get_mut(at)
    }

    fn change(&mut self, change: Change) -> Option<()> {
        match change {
            Change::Value(at, value) => self.line(at)?.value = value,
            Change::Timed(at) => self.line(at)?.timed ^= true,
            Change::Exemplar(at) => self.line(at)?.exemplar ^= true,
            Change::Spacing(at, spacing) => self.line(at)?.spacing = spacing,
            Change::Help(at, help) => self.family(at)?.help = help,
            Change::Kind(at, kind) => self.family(at)?.kind = kind,
            Change::Comment(at, comment) => self.family(at)?.comment = comment,
            Change::Format => {
                self.format = if self.format == Format::Text { Format::OpenMetrics } else { Format::Text };
            }
            Change::SwapFamilies(one, other) => {
                let count = self.families.len();
                self.families.swap(pick(one, count)?, pick(other, count)?);
            }
            Change::Add(at, label) => {
                let new = Sample { label, value: label, timed: false, exemplar: false, spacing: 0 };
                self.family(at)?.lines.push(new);
            }
            Change::Remove(at) => {
                let family = self.family(at % 5)?;
                family.lines.remove(pick(at / 5, family.lines.len())?);
            }
            Change::Copy(at) => {
                let family = self.family(at % 5)?;
                let copied = family.lines[pick(at / 5, family.lines.len())?];
                family.lines.push(copied);
            }
            Change::Move(at, to) => {
                let family = self.family(at % 5)?;
                let moved = family.lines.remove(pick(at / 5, family.lines.len())?);
                family.lines.insert(pick(to, family.lines.len() + 1)?, moved);
            }
        }
        Some(())
    }

    fn page(&self, time: i64) -> String {
        let mut page = String::new();
        for family in &self.families {
            self.comments(&mut page, family);
            for line in &family.lines {
                self.sample(&mut page, family.name, line, time);
            }
        }
        if self.format == Format::OpenMetrics {
            page += "# EOF\n";
        }
        page
    }

    fn comments(&self, page: &mut String, family: &Family) {
        let text = self.format == Format::Text;
        match family.comment % 4 {
            1 if text => page.push_str("# a comment\n"),
            2 if text => page.push_str("\n #another\n"),
            _ => {}
        }
        if !family.help.is_multiple_of(4) {
            let _ = writeln!(page, "# HELP f{} Help {}.", family.name, family.help % 4);
        }
        match KINDS[usize::from(family.kind) % KINDS.len()] {
            "" => {}
            kind => {
                let _ = writeln!(page, "# TYPE f{} {kind}", family.name);
            }
        }
    }

    fn sample(&self, page: &mut String, family: u8, line: &Sample, time: i64) {
        let text = self.format == Format::Text;
        let label = LABELS[usize::from(line.label) % LABELS.len()];
        let value = VALUES[usize::from(line.value) % VALUES.len()];
        let (blank, end) = match line.spacing % 8 {
            1 => ("  ", "\n"),
            2 => ("\t", "\n"),
            3 if label.ends_with('}') => ("", "\n"),
            4 if text => (" ", "\r\n"),
            5 => (" ", " \n"),
            _ => (" ", "\n"),
        };
        let _ = write!(page, "f{family}{label}{blank}{value}");
        // Some times are of this scrape, some of an earlier one.
        let own = if line.label.is_multiple_of(2) { time - 500 } else { 500 + i64::from(line.label % 3) };
        match (line.timed, text) {
            (true, true) => {
                let _ = write!(page, " {own}");
            }
            (true, false) => {
                let _ = write!(page, " {}.{:03}", own / 1_000, own % 1_000);
            }
            _ => {}
        }
        if line.exemplar && !text {
            let _ = write!(page, " # {{t=\"{}\"}} {value}", time);
        }
        page.push_str(end);
    }
}

fn change() -> impl Strategy<Value = Change> {
    let two = || (any::<u8>(), any::<u8>());
    prop_oneof![
        8 => two().prop_map(|(at, value)| Change::Value(at, value)),
        4 => two().prop_map(|(at, to)| Change::Move(at, to)),
        1 => any::<u8>().prop_map(Change::Remove),
        1 => any::<u8>().prop_map(Change::Copy),
        1 => two().prop_map(|(at, label)| Change::Add(at, label)),
        1 => two().prop_map(|(at, help)| Change::Help(at, help)),
        1 => two().prop_map(|(at, kind)| Change::Kind(at, kind)),
        1 => two().prop_map(|(at, comment)| Change::Comment(at, comment)),
        1 => any::<u8>().prop_map(Change::Timed),
        1 => any::<u8>().prop_map(Change::Exemplar),
        1 => two().prop_map(|(at, spacing)| Change::Spacing(at, spacing)),
        1 => two().prop_map(|(one, other)| Change::SwapFamilies(one, other)),
        1 => Just(Change::Format),
    ]
}

/// What happens to a page on its way.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Whole,
    /// It ends after so many bytes.
    Cut(usize),
    /// One byte is another.
    Byte(usize, u8),
}

fn fate() -> impl Strategy<Value = Fate> {
    let bytes = prop_oneof![Just(b' '), Just(b'\n'), Just(b'{'), Just(b'1'), Just(b'#'), any::<u8>()];
    prop_oneof![
        8 => Just(Fate::Whole),
        1 => (0_usize..600).prop_map(Fate::Cut),
        1 => (0_usize..600, bytes).prop_map(|(at, byte)| Fate::Byte(at, byte)),
    ]
}

fn rule(action: &str, regex: &str) -> RelabelConfig {
    let parts = RelabelParts {
        action: Some(action.to_owned()),
        source_labels: (action == "drop").then(|| vec!["x".to_owned()]),
        regex: Some(regex.to_owned()),
        ..RelabelParts::default()
    };
    RelabelConfig::new(parts).expect("a valid rule")
}

fn config() -> impl Strategy<Value = ScrapeConfig> {
    let limit = prop_oneof![4 => Just(0), 1 => Just(18), 1 => Just(21)];
    let rules = prop_oneof![
        3 => Just(Vec::new()),
        1 => Just(vec![rule("drop", "2")]),
        1 => Just(vec![rule("labeldrop", "x")]),
    ];
    (any::<[bool; 3]>(), limit, rules).prop_map(|([labels, times, staleness], limit, rules)| {
        let mut config = ScrapeConfig::new("j");
        config.honor_labels = labels;
        config.honor_timestamps = times;
        config.track_timestamps_staleness = staleness;
        config.sample_limit = limit;
        config.metric_relabel_configs = rules;
        config
    })
}

proptest! {
    #[test]
    fn the_cache_does_what_a_full_parse_does(
        config in config(),
        life in 5_u64..50,
        steps in proptest::collection::vec((proptest::collection::vec(change(), 0..4), fate()), 1..16),
    ) {
        let (mut cached, mut plain) = (Scraped::new(&config, life), Scraped::new(&config, life));
        let mut exporter = Exporter::new();
        for (changes, fate) in steps {
            for change in changes {
                // One that has nothing to change changes nothing.
                let _ = exporter.change(change);
            }
            let mut page = exporter.page(cached.time + 1_000).into_bytes();
            match fate {
                Fate::Whole => {}
                Fate::Cut(at) => page.truncate(at),
                Fate::Byte(at, byte) => {
                    if let Some(there) = page.get_mut(at) {
                        *there = byte;
                    }
                }
            }
            plain.state.reconfigured();
            let expected = plain.scrape(&page, exporter.format);
            let found = cached.scrape(&page, exporter.format);
            prop_assert_eq!(found, expected, "{}", String::from_utf8_lossy(&page));
        }
        prop_assert!(cached.parsed() <= plain.parsed());
    }
}
