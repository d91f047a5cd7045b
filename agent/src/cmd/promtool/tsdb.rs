//! `tsdb`: what promtool does with a Prometheus's folder, with a Vedette's.

use std::io::{self, BufWriter, Write};

use anyhow::{Result, bail};
use clap::{Args, Subcommand};

use crate::cmd::tsdb::{self, AnalyzeFlags, DumpFlags, Folder};

/// How long a window is, in milliseconds.
const WINDOW_MS: i64 = 2 * 3_600_000;

#[derive(Subcommand, Debug)]
pub(super) enum Tsdb {
    /// Analyze label pair cardinality and bytes by part. A block id is a window's start in milliseconds.
    Analyze(AnalyzeFlags),
    /// Dump samples from a TSDB.
    Dump(DumpFlags),
    /// Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers.
    DumpOpenmetrics(DumpFlags),
    /// List the windows of two hours that a store holds.
    List(ListFlags),
    /// Not available: a Vedette's store takes no Prometheus blocks.
    CreateBlocksFrom(Anything),
    /// Not available: running benchmarks.
    Bench(Anything),
}

/// The rest of a command line that is not read.
#[derive(Args, Debug)]
pub(super) struct Anything {
    /// What promtool takes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    all: Vec<String>,
}

#[derive(Args, Debug)]
pub(super) struct ListFlags {
    /// Print human readable values.
    #[arg(short = 'r', long)]
    human_readable: bool,
    #[command(flatten)]
    folder: Folder,
}

pub(super) fn run(tsdb: &Tsdb) -> Result<()> {
    match tsdb {
        Tsdb::Analyze(flags) => tsdb::analyze(flags),
        Tsdb::Dump(flags) => tsdb::dump(flags),
        Tsdb::DumpOpenmetrics(flags) => tsdb::dump_openmetrics(flags),
        Tsdb::List(flags) => list(flags),
        Tsdb::CreateBlocksFrom(_) => bail!(
            "tsdb create-blocks-from is not available: a Vedette's store takes no Prometheus blocks. Send the samples \
             to an agent's /api/v1/write, with storage.tsdb.out_of_order_time_window set to their age"
        ),
        Tsdb::Bench(_) => bail!("tsdb bench is not available in this version"),
    }
}

fn list(flags: &ListFlags) -> Result<()> {
    let archive = flags.folder.open()?;
    let mut rows = vec![
        ["BLOCK ID", "MIN TIME", "MAX TIME", "DURATION", "NUM SAMPLES", "NUM SERIES"].map(str::to_owned),
    ];
    for start in archive.windows() {
        let found = archive.analyze(&[], Some(start), 0)?;
        let shown = |millis: i64| match jiff::Timestamp::from_millisecond(millis) {
            Ok(time) if flags.human_readable => time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
            _ => millis.to_string(),
        };
        rows.push([
            start.to_string(),
            shown(start),
            shown(start.saturating_add(WINDOW_MS)),
            "2h0m0s".to_owned(),
            (found.sealed_samples + found.log_samples).to_string(),
            found.series.to_string(),
        ]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0) + 2;
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    for row in &rows {
        let cells: String = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.trim_end())?;
    }
    out.flush()?;
    Ok(())
}
