//! `diskstats`: what each block device did.

use model::AnchoredRegex;

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/diskstats";
/// The kernel's sector of this file, whatever the disk's own.
const SECTOR_BYTES: f64 = 512.0;
/// Devices that are parts of others or of no interest.
const IGNORED: &str = r"(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+";

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

/// Name, help, factor and kind of each column behind the device's name. Older kernels end earlier.
const COLUMNS: [(&str, &str, f64, Kind); 17] = [
    ("reads_completed_total", "The total number of reads completed successfully.", 1.0, Kind::Counter),
    ("reads_merged_total", "The total number of reads merged.", 1.0, Kind::Counter),
    ("read_bytes_total", "The total number of bytes read successfully.", SECTOR_BYTES, Kind::Counter),
    ("read_time_seconds_total", "The total number of seconds spent by all reads.", 0.001, Kind::Counter),
    ("writes_completed_total", "The total number of writes completed successfully.", 1.0, Kind::Counter),
    ("writes_merged_total", "The number of writes merged.", 1.0, Kind::Counter),
    ("written_bytes_total", "The total number of bytes written successfully.", SECTOR_BYTES, Kind::Counter),
    (
        "write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        0.001,
        Kind::Counter,
    ),
    ("io_now", "The number of I/Os currently in progress.", 1.0, Kind::Gauge),
    ("io_time_seconds_total", "Total seconds spent doing I/Os.", 0.001, Kind::Counter),
    ("io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", 0.001, Kind::Counter),
    ("discards_completed_total", "The total number of discards completed successfully.", 1.0, Kind::Counter),
    ("discards_merged_total", "The total number of discards merged.", 1.0, Kind::Counter),
    ("discarded_sectors_total", "The total number of sectors discarded successfully.", 1.0, Kind::Counter),
    (
        "discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        0.001,
        Kind::Counter,
    ),
    ("flush_requests_total", "The total number of flush requests completed successfully", 1.0, Kind::Counter),
    (
        "flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        0.001,
        Kind::Counter,
    ),
];

#[derive(Debug)]
pub(crate) struct Diskstats {
    ignored: Option<AnchoredRegex>,
}

impl Diskstats {
    pub(crate) fn new() -> Self {
        // A constant; were it no regex, nothing would be ignored and the test below would fail.
        Self { ignored: AnchoredRegex::new(IGNORED).ok() }
    }

    pub(crate) fn collect(&self, diskstats: &str, page: &mut Page) -> Result<(), CollectError> {
        for line in diskstats.lines() {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let Some(device) = fields.next() else {
                return Err(CollectError::Parse { file: FILE, what: format!("no device: {line:?}") });
            };
            if self.ignored.as_ref().is_some_and(|ignored| ignored.is_match(device)) {
                continue;
            }
            for ((name, help, factor, kind), field) in COLUMNS.iter().zip(fields) {
                let value = number(FILE, Some(field))? * factor;
                let name = format!("node_disk_{name}");
                match kind {
                    Kind::Counter => page.counter(name, help, &[("device", device)], value),
                    Kind::Gauge => page.gauge(name, help, &[("device", device)], value),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::has;

    #[test]
    fn whole_disks_in_bytes_and_seconds() {
        let text = "   8  0 sda 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26\n   8  1 sda1 1 1 1 1 1 1 1 1 1 1 1\n 259 1 nvme0n1p2 1\n   7 0 loop0 1\n 252 0 dm-0 3\n";
        let mut page = Page::default();
        Diskstats::new().collect(text, &mut page).expect("valid");
        has(&page, "node_disk_read_bytes_total{device=\"sda\"} 6144");
        has(&page, "node_disk_io_time_seconds_total{device=\"sda\"} 0.019");
        has(&page, "node_disk_discarded_sectors_total{device=\"sda\"} 23");
        has(&page, "node_disk_reads_completed_total{device=\"dm-0\"} 3");
        assert_eq!(page.samples.len(), 18, "partitions and loops are left out");
    }
}
