//! `tsdb`: what lies in a store's folder, for operators: figures, samples as text, damage.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, Subcommand};
use model::{Labels, Matcher, format_go_float};
use storage::{Gap, QueryError, SeriesSet, TimeRange};
use tsdb::{Archive, OpenError};
use vedette_agent::cli::WrongConfig;
use vedette_agent::go_text;

use super::tsdb_analyze;

/// Samples in memory at a time, about: of more a window is read in several pieces.
const SAMPLES_AT_ONCE: usize = 4_000_000;

#[derive(Subcommand, Debug)]
pub(crate) enum TsdbCommand {
    /// Series, samples and bytes, and which names and labels there are most of.
    Analyze(AnalyzeFlags),
    /// Write all samples as text, one a line: labels, value, milliseconds. A histogram's value is written as
    /// Prometheus prints it. Lines are in order of window (two hours), then series, then time.
    Dump(DumpFlags),
    /// Read everything and tell each damage with its place; exit code 1 if there is any.
    Verify {
        /// The folder: an agent's storage path, or a snapshot.
        #[arg(default_value = "data/")]
        dir: PathBuf,
    },
    /// Set what is damaged aside, in DIR/damaged, and write anew what the rest gives; what is missing is recorded, and
    /// answers say so. Exit code 1 if something is damaged still.
    Repair {
        /// The folder: a stopped agent's or replica's storage path.
        #[arg(default_value = "data/")]
        dir: PathBuf,
        /// Only say what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Which folder, and whose.
#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// The folder: an agent's storage path, or a snapshot.
    #[arg(default_value = "data/")]
    dir: PathBuf,
    /// The node whose folder it is: its own series are shown as it shows them, others with the external labels
    /// that they were shipped with. Needed only where the folder has streams of several nodes.
    #[arg(long = "node-name", value_name = "NAME")]
    node_name: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct AnalyzeFlags {
    #[command(flatten)]
    folder: Folder,
    /// Only the window of two hours that starts then, in milliseconds; all of them where absent.
    #[arg(value_name = "BLOCK-ID", allow_negative_numbers = true)]
    window: Option<i64>,
    /// Entries of each list.
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// Only series that a selector names.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = selector)]
    matchers: Option<Selector>,
}

#[derive(Args, Debug)]
pub(crate) struct DumpFlags {
    #[command(flatten)]
    folder: Folder,
    /// First millisecond.
    #[arg(long, default_value_t = i64::MIN, allow_negative_numbers = true, hide_default_value = true)]
    min_time: i64,
    /// Last millisecond.
    #[arg(long, default_value_t = i64::MAX, allow_negative_numbers = true, hide_default_value = true)]
    max_time: i64,
    /// Only series that a selector names; given several times, those that one of them names.
    #[arg(long = "match", value_name = "SELECTOR", value_parser = selector)]
    matchers: Vec<Selector>,
}

/// What `--match` says.
#[derive(Clone, Debug)]
struct Selector(Vec<Matcher>);

fn selector(text: &str) -> Result<Selector, String> {
    promql::parse_metric_selector(text).map(Selector).map_err(|error| error.to_string())
}

pub(crate) fn tsdb(command: &TsdbCommand) -> anyhow::Result<()> {
    match command {
        TsdbCommand::Analyze(flags) => analyze(flags),
        TsdbCommand::Dump(flags) => dump(flags),
        TsdbCommand::Verify { dir } => verify(dir),
        TsdbCommand::Repair { dir, dry_run } => super::tsdb_repair::repair(dir, *dry_run),
    }
}

pub(crate) fn analyze(flags: &AnalyzeFlags) -> anyhow::Result<()> {
    let archive = flags.folder.open()?;
    if let Some(window) = flags.window.filter(|window| !archive.windows().contains(window)) {
        let known: Vec<String> = archive.windows().iter().map(i64::to_string).collect();
        let what = format!("there is no window {window}, there are: {}", known.join(", "));
        return Err(WrongConfig(what).into());
    }
    let matchers = flags.matchers.as_ref().map_or(&[][..], |selector| &selector.0);
    let found = archive.analyze(matchers, flags.window, flags.limit)?;
    tsdb_analyze::print(&mut io::stdout().lock(), &flags.folder.dir, &found).or_else(hung_up)?;
    say_gaps(&found.gaps);
    Ok(())
}

pub(crate) fn dump(flags: &DumpFlags) -> anyhow::Result<()> {
    dump_with(flags, write_samples, "")
}

/// `dump` as OpenMetrics, which has neither histograms of this kind nor stale markers.
pub(crate) fn dump_openmetrics(flags: &DumpFlags) -> anyhow::Result<()> {
    dump_with(flags, write_openmetrics, "# EOF\n")
}

/// Writes a part of a store's series.
type WriteSamples = fn(&mut BufWriter<io::StdoutLock<'static>>, &SeriesSet) -> io::Result<()>;

fn dump_with(flags: &DumpFlags, write: WriteSamples, end: &str) -> anyhow::Result<()> {
    let archive = flags.folder.open()?;
    let range = TimeRange { start: flags.min_time, end: flags.max_time };
    if range.start > range.end {
        return Err(WrongConfig("--min-time is after --max-time".to_owned()).into());
    }
    let sets: Vec<Vec<Matcher>> = flags.matchers.iter().map(|selector| selector.0.clone()).collect();
    let mut out = BufWriter::with_capacity(256 << 10, io::stdout().lock());
    let read = archive.read(&sets, range, SAMPLES_AT_ONCE, |set| Ok::<_, DumpError>(write(&mut out, &set)?));
    let read = read.and_then(|coverage| {
        out.write_all(end.as_bytes())?;
        Ok(out.flush().map(|()| coverage)?)
    });
    match read {
        Ok(coverage) => say_gaps(&coverage.gaps),
        Err(DumpError::Io(error)) => hung_up(error).context("writing samples")?,
        Err(DumpError::Query(error)) => return Err(error.into()),
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn verify(dir: &Path) -> anyhow::Result<()> {
    let found = tsdb::verify(dir, &mut |fault| println!("{fault}"));
    let found = found.map_err(|error| explained(dir, error))?;
    println!(
        "log: {} segments, {} records, {} frames; sealed: {} windows, {} values, {} samples",
        found.segments, found.records, found.frames, found.windows, found.values, found.samples
    );
    if found.torn_bytes > 0 {
        println!(
            "the last segment ends in {} bytes of a write that was cut off: no damage",
            found.torn_bytes
        );
    }
    if found.cut_off > 0 {
        println!(
            "{} earlier segments end in a write that was cut off, as a process leaves it that is killed: no damage",
            found.cut_off
        );
    }
    match found.faults {
        0 => {
            println!("no damage");
            Ok(())
        }
        1 => bail!("{}: 1 damage", dir.display()),
        faults => bail!("{}: {faults} damages", dir.display()),
    }
}

impl Folder {
    pub(crate) fn open(&self) -> anyhow::Result<Archive> {
        Archive::open(&self.dir, self.node_name.as_deref()).map_err(|error| explained(&self.dir, error))
    }
}

/// Why a folder cannot be read, and what to do.
pub(super) fn explained(dir: &Path, error: OpenError) -> anyhow::Error {
    match error {
        OpenError::Locked(_) => anyhow!(
            "{error}: stop the agent, or make a snapshot (POST /api/v1/admin/tsdb/snapshot, with \
             --web.enable-admin-api) and give {}",
            dir.join("snapshots").join("NAME").display()
        ),
        // Its text has the cause in it.
        error => anyhow!("{error}"),
    }
}

/// Who reads the answer may have seen enough, as `head` does.
fn hung_up(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

#[allow(clippy::print_stderr, reason = "the answer itself is on standard output")]
fn say_gaps(gaps: &[Gap]) {
    for gap in gaps {
        eprintln!("missing from {} to {}: {}", gap.start, gap.end, gap.why);
    }
}

#[derive(Debug)]
enum DumpError {
    Io(io::Error),
    Query(QueryError),
}

impl From<io::Error> for DumpError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<QueryError> for DumpError {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

/// One line a sample; of a series that has both kinds first its numbers, then its histograms.
fn write_samples(out: &mut impl Write, set: &SeriesSet) -> io::Result<()> {
    let mut histograms = set.histograms.iter().peekable();
    let mut write_histograms = |out: &mut _, up_to: Option<&Labels>| -> io::Result<()> {
        while let Some(series) =
            histograms.next_if(|series| up_to.is_none_or(|labels| series.labels < *labels))
        {
            let labels = go_text::labels(&series.labels);
            for sample in &series.samples {
                write_histogram(out, &labels, sample)?;
            }
        }
        Ok(())
    };
    for series in &set.series {
        write_histograms(out, Some(&series.labels))?;
        let labels = go_text::labels(&series.labels);
        for sample in &series.samples {
            writeln!(out, "{labels} {} {}", format_go_float(sample.value), sample.timestamp)?;
        }
    }
    write_histograms(out, None)
}

#[allow(clippy::cast_precision_loss, reason = "times that a clock shows fit")]
fn write_openmetrics(out: &mut impl Write, set: &SeriesSet) -> io::Result<()> {
    for series in &set.series {
        let rest = series.labels.without_name();
        let rest = if rest.is_empty() { String::new() } else { go_text::labels(&rest) };
        let name = series.labels.metric_name();
        for sample in series.samples.iter().filter(|sample| !model::is_stale(sample.value)) {
            let (value, at) = (format_go_float(sample.value), sample.timestamp as f64 / 1000.0);
            writeln!(out, "{name}{rest} {value} {at:.3}")?;
        }
    }
    Ok(())
}

fn write_histogram(out: &mut impl Write, labels: &str, sample: &model::HistogramSample) -> io::Result<()> {
    match &*sample.histogram {
        stale if stale.is_stale() => writeln!(out, "{labels} NaN {}", sample.timestamp),
        model::AnyHistogram::Integer(histogram) => writeln!(out, "{labels} {histogram} {}", sample.timestamp),
        model::AnyHistogram::Float(histogram) => writeln!(out, "{labels} {histogram} {}", sample.timestamp),
    }
}
