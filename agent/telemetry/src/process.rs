//! The process's own resources from `/proc/self`, under the names that every Prometheus client uses.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::registry::Registry;

/// Ticks a second in `/proc`: fixed in Linux's interface whatever the kernel's own rate is.
const USER_HZ: f64 = 100.0;

/// Adds `process_cpu_seconds_total`, `process_{resident,virtual}_memory_bytes`,
/// `process_virtual_memory_max_bytes`, `process_{open,max}_fds` and `process_start_time_seconds`. What `/proc`
/// does not say is left out.
pub fn process_metrics(registry: &Registry) {
    registry.collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

/// One reading; a field is absent where its file or line is.
#[derive(Debug, Default, PartialEq)]
struct Reading {
    cpu_seconds: Option<f64>,
    start_time_seconds: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    virtual_max_bytes: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let reading = Reading::take();
        if let Some(seconds) = reading.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            counter.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                "Total user and system CPU time spent in seconds.",
                None,
                counter.metric_type(),
            )?)?;
        }
        let gauges = [
            ("process_max_fds", "Maximum number of open file descriptors.", reading.max_fds),
            ("process_open_fds", "Number of open file descriptors.", reading.open_fds),
            ("process_resident_memory_bytes", "Resident memory size in bytes.", reading.resident_bytes),
            (
                "process_start_time_seconds",
                "Start time of the process since unix epoch in seconds.",
                reading.start_time_seconds,
            ),
            ("process_virtual_memory_bytes", "Virtual memory size in bytes.", reading.virtual_bytes),
            (
                "process_virtual_memory_max_bytes",
                "Maximum amount of virtual memory available in bytes.",
                reading.virtual_max_bytes,
            ),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl Reading {
    fn take() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let mut reading = Self::parse(
            &read("/proc/self/stat"),
            &read("/proc/stat"),
            &read("/proc/self/status"),
            &read("/proc/self/limits"),
        );
        // Reading the folder itself holds one descriptor.
        reading.open_fds = fs::read_dir("/proc/self/fd")
            .ok()
            .map(|entries| to_f64((entries.count() as u64).saturating_sub(1)));
        reading
    }

    fn parse(stat: &str, system_stat: &str, status: &str, limits: &str) -> Self {
        // The command's name may hold blanks and parentheses: fields are counted from the last one.
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
        let boot = first_number(system_stat, "btime ");
        Self {
            cpu_seconds: ticks(11).zip(ticks(12)).map(|(user, system)| (user + system) / USER_HZ),
            start_time_seconds: ticks(19).zip(boot).map(|(start, boot)| boot + start / USER_HZ),
            resident_bytes: first_number(status, "VmRSS:").map(|kib| kib * 1024.0),
            virtual_bytes: first_number(status, "VmSize:").map(|kib| kib * 1024.0),
            virtual_max_bytes: first_number(limits, "Max address space"),
            open_fds: None,
            max_fds: first_number(limits, "Max open files"),
        }
    }
}

/// The number behind `prefix` at the start of a line; `unlimited` is the largest one.
fn first_number(text: &str, prefix: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(prefix))?;
    match rest.split_ascii_whitespace().next()? {
        "unlimited" => Some(to_f64(u64::MAX)),
        number => number.parse().ok(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "metrics are floats")]
fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_read_by_field() {
        let reading = Reading::parse(
            "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 5 0 12345 1000 200 1 2 3",
            "cpu 1 2 3\nbtime 1700000000\n",
            "Name:\ta\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\n",
            "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\nMax address space  unlimited  unlimited  bytes\n",
        );
        assert_eq!(
            reading,
            Reading {
                cpu_seconds: Some(2.0),
                start_time_seconds: Some(1_700_000_123.45),
                resident_bytes: Some(1_048_576.0),
                virtual_bytes: Some(2_097_152.0),
                virtual_max_bytes: Some(18_446_744_073_709_551_615.0),
                open_fds: None,
                max_fds: Some(1024.0),
            }
        );
        assert_eq!(Reading::parse("", "", "", ""), Reading::default());
    }

    #[test]
    fn this_process_has_its_metrics() {
        let registry = Registry::new();
        process_metrics(&registry);
        let page = registry.encode_text();
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_max_fds",
        ] {
            assert!(page.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} in\n{page}");
        }
    }
}
