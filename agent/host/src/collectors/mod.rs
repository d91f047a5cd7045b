//! The collectors: one file each, named as node_exporter names them.

mod cpu;
mod diskstats;
mod filesystem;
mod loadavg;
mod meminfo;
mod netdev;
mod stat;
mod system;

use std::fs;
use std::path::{Path, PathBuf};

use env::SharedClock;

use crate::HostConfig;
use crate::page::Page;

/// Every collector, under node_exporter's name for it.
pub const COLLECTORS: [&str; 9] =
    ["cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "stat", "time", "uname"];

/// Why a collector gave nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{file}: {what}")]
    Parse { file: &'static str, what: String },
}

/// Every collector with what it must remember between two readings.
#[derive(Debug)]
pub struct Collectors {
    enabled: Vec<String>,
    proc: PathBuf,
    clock: SharedClock,
    cpu: cpu::Cpu,
    filesystem: filesystem::Filesystem,
    diskstats: diskstats::Diskstats,
}

impl Collectors {
    /// Collectors over the paths of `config`.
    #[must_use]
    pub fn new(config: &HostConfig, clock: SharedClock) -> Self {
        Self {
            enabled: config.collectors.clone(),
            proc: config.proc.clone(),
            clock,
            cpu: cpu::Cpu::default(),
            filesystem: filesystem::Filesystem::new(config.root.clone()),
            diskstats: diskstats::Diskstats::new(),
        }
    }

    /// Reads the host once. A collector that fails leaves out its own samples only, and says so in
    /// `node_scrape_collector_success`.
    pub fn read(&mut self) -> Page {
        let mut page = Page::default();
        let mut outcomes = Vec::new();
        let proc = self.proc.clone();
        let (clock, enabled) = (self.clock.clone(), self.enabled.clone());
        let mut run =
            |name: &'static str, collector: &mut dyn FnMut(&mut Page) -> Result<(), CollectError>| {
                if !enabled.iter().any(|wanted| wanted == name) {
                    return;
                }
                let start = clock.monotonic();
                let mut part = Page::default();
                let result = collector(&mut part);
                if let Err(error) = &result {
                    tracing::debug!(collector = name, %error, "a collector gave nothing");
                } else {
                    page.samples.append(&mut part.samples);
                }
                outcomes.push((name, clock.monotonic().saturating_sub(start), result.is_ok()));
            };
        run("cpu", &mut |page| self.cpu.collect(&text(&proc, "stat")?, page));
        run("diskstats", &mut |page| self.diskstats.collect(&text(&proc, "diskstats")?, page));
        run("filesystem", &mut |page| self.filesystem.collect(&mounts(&proc)?, page));
        run("loadavg", &mut |page| loadavg::collect(&text(&proc, "loadavg")?, page));
        run("meminfo", &mut |page| meminfo::collect(&text(&proc, "meminfo")?, page));
        run("netdev", &mut |page| netdev::collect(&text(&proc, "net/dev")?, page));
        run("stat", &mut |page| stat::collect(&text(&proc, "stat")?, page));
        run("time", &mut |page| {
            system::time(clock.now_ms(), page);
            Ok(())
        });
        run("uname", &mut |page| {
            system::uname(page);
            Ok(())
        });
        for (name, took, worked) in outcomes {
            let labels = [("collector", name)];
            let seconds = took.as_secs_f64();
            page.gauge(
                "node_scrape_collector_duration_seconds",
                "Duration of a collector scrape.",
                &labels,
                seconds,
            );
            let success = if worked { 1.0 } else { 0.0 };
            page.gauge("node_scrape_collector_success", "Whether a collector succeeded.", &labels, success);
        }
        system::build_info(&mut page);
        page
    }
}

fn text(proc: &Path, file: &str) -> Result<String, CollectError> {
    let path = proc.join(file);
    fs::read(&path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| CollectError::Read { path, source })
}

/// The mounts of the first process, so that an agent in a mount namespace of its own sees the host's.
fn mounts(proc: &Path) -> Result<String, CollectError> {
    text(proc, "1/mounts").or_else(|_| text(proc, "mounts"))
}

/// The number in a field of a kernel file.
fn number(file: &'static str, field: Option<&str>) -> Result<f64, CollectError> {
    let text = field.ok_or_else(|| CollectError::Parse { file, what: "a field is missing".to_owned() })?;
    text.parse().map_err(|_| CollectError::Parse { file, what: format!("no number: {text:?}") })
}

#[cfg(test)]
pub(crate) mod testing {
    //! Prints pages as lines, so that a test compares text.
    use crate::page::Page;

    pub(crate) fn lines(page: &Page) -> Vec<String> {
        let line = |sample: &crate::HostSample| {
            let labels: Vec<String> =
                sample.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            format!("{}{{{}}} {}", sample.name, labels.join(","), sample.value)
        };
        page.samples.iter().map(line).collect()
    }

    pub(crate) fn has(page: &Page, line: &str) {
        let lines = lines(page);
        assert!(lines.iter().any(|have| have == line), "no line {line} in\n{}", lines.join("\n"));
    }
}

#[cfg(test)]
mod tests {
    use env::SystemClock;

    use super::*;

    #[test]
    fn this_host_can_be_read() {
        let mut collectors = Collectors::new(&HostConfig::new("here"), SystemClock::shared());
        let page = collectors.read();
        for name in [
            "node_cpu_seconds_total",
            "node_memory_MemTotal_bytes",
            "node_load1",
            "node_boot_time_seconds",
            "node_time_seconds",
            "node_uname_info",
        ] {
            assert!(page.samples.iter().any(|sample| sample.name == name), "{name} is missing");
        }
    }

    #[test]
    fn only_the_chosen_collectors_run() {
        let config = HostConfig { collectors: vec!["loadavg".to_owned()], ..HostConfig::new("here") };
        let page = Collectors::new(&config, SystemClock::shared()).read();
        let mut names: Vec<&str> = page.samples.iter().map(|sample| sample.name.as_str()).collect();
        names.sort_unstable();
        let chosen = ["node_load1", "node_load15", "node_load5"];
        let own = ["node_scrape_collector_duration_seconds", "node_scrape_collector_success"];
        assert_eq!(
            names,
            ["node_exporter_build_info"].iter().chain(&chosen).chain(&own).copied().collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_collector_that_fails_costs_only_its_own_samples() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("loadavg"), "0.5 0.25 0.125 1/100 4242\n").expect("written");
        let config = HostConfig { proc: dir.path().to_owned(), ..HostConfig::new("here") };
        let page = Collectors::new(&config, SystemClock::shared()).read();
        testing::has(&page, "node_load1{} 0.5");
        testing::has(&page, "node_scrape_collector_success{collector=\"loadavg\"} 1");
        testing::has(&page, "node_scrape_collector_success{collector=\"meminfo\"} 0");
    }
}
