//! The figures as a table, on the screen and in a file under results/.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// Figures by system.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    what: String,
    unit: &'static str,
    values: Vec<Option<f64>>,
}

impl Table {
    /// A table with a column a system; the first is the one that others are compared with.
    pub(crate) fn new<N: Into<String>>(columns: impl IntoIterator<Item = N>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new(), notes: Vec::new() }
    }

    /// A figure of every system; less is better.
    pub(crate) fn row(&mut self, what: impl Into<String>, unit: &'static str, values: Vec<Option<f64>>) {
        self.rows.push(Row { what: what.into(), unit, values });
    }

    /// A sentence below the table.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// As text: each figure, and in brackets how many times the first column's it is.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{:<44}", "");
        for column in &self.columns {
            let _ = write!(out, "{column:>24}");
        }
        for row in &self.rows {
            let _ = write!(out, "\n{:<44}", format!("{}, {}", row.what, row.unit));
            let first = row.values.first().copied().flatten().filter(|first| *first > 0.0);
            for (at, value) in row.values.iter().enumerate() {
                let text = match (value, first) {
                    (Some(value), Some(first)) if at > 0 => {
                        format!("{} ({:.1}x)", short(*value), value / first)
                    }
                    (Some(value), _) => short(*value),
                    (None, _) => "-".to_owned(),
                };
                let _ = write!(out, "{text:>24}");
            }
        }
        for note in &self.notes {
            let _ = write!(out, "\n{note}");
        }
        out + "\n"
    }
}

/// Three digits, or all of a large number's whole part.
fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// What stands above a table: when, where, of what, and how it was asked for.
pub(crate) fn head(suite: &str, versions: &[(String, String)]) -> String {
    let now = env::SystemClock::shared().now_ms();
    let date = jiff::Timestamp::from_millisecond(now).map_or_else(|_| "-".to_owned(), |now| now.to_string());
    let command: Vec<String> = std::env::args().skip(1).collect();
    let mut out = format!(
        "suite    {suite}\ndate     {date}\nmachine  {}\ncommit   {}\ncommand  headline {}\n",
        machine(),
        commit(),
        command.join(" ")
    );
    for (name, version) in versions {
        let _ = writeln!(out, "version  {name}: {version}");
    }
    out
}

/// Writes the result beside earlier ones. Gives where.
pub(crate) fn keep(folder: &Path, suite: &str, text: &str) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let now = env::SystemClock::shared().now_ms();
    let date = jiff::Timestamp::from_millisecond(now)?.strftime("%Y%m%d-%H%M%S").to_string();
    let path = folder.join(format!("{suite}-{date}-{}.txt", commit()));
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("-");
        line.split_once(':').map_or("-", |(_, value)| value).trim().to_owned()
    };
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg").split(' ').next().unwrap_or("-").to_owned();
    format!(
        "{}, {cpus} cores, {} of memory, Linux {}, load {load} at the end",
        field(&read("/proc/cpuinfo"), "model name"),
        field(&read("/proc/meminfo"), "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let asked = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        asked.map_or_else(|_| String::new(), |said| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let changed =
        if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "-changed" };
    format!("{}{changed}", git(&["rev-parse", "--short", "HEAD"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_compared_with_the_first() {
        let mut table = Table::new(["ours", "theirs", "absent"]);
        table.row("memory", "MiB", vec![Some(20.0), Some(110.0), None]);
        table.row("lost", "samples", vec![Some(0.0), Some(3.0), None]);
        table.note("a note");
        let text = table.text();
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["ours", "theirs", "absent"]);
        assert_eq!(words[1], ["memory,", "MiB", "20.0", "110", "(5.5x)", "-"]);
        assert_eq!(words[2], ["lost,", "samples", "0", "3.00", "-"]);
        assert_eq!(words[3], ["a", "note"]);
    }
}
