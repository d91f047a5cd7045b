//! A page of 600 series, as text and as rows.

use std::fmt::Write as _;

use model::{Labels, METRIC_NAME, Metadata, MetricType};
use storage::{Cell, Layout, Number, Slot};

/// Series of a page.
pub const SERIES: usize = 600;
/// Families of the page: name, type, the label that tells its series apart, how many of them.
const FAMILIES: [(&str, MetricType, &str, usize); 8] = [
    ("node_cpu_seconds_total", MetricType::Counter, "mode", 128),
    ("node_disk_read_bytes_total", MetricType::Counter, "device", 40),
    ("node_network_receive_bytes_total", MetricType::Counter, "device", 60),
    ("node_network_up", MetricType::Gauge, "device", 60),
    ("node_filesystem_avail_bytes", MetricType::Gauge, "mountpoint", 72),
    ("node_systemd_unit_state", MetricType::Gauge, "name", 160),
    ("node_memory_bytes", MetricType::Gauge, "kind", 50),
    ("node_scrape_collector_duration_seconds", MetricType::Gauge, "collector", 30),
];
/// One series in so many changes between scrapes.
const CHANGES: usize = 4;

/// The values of a page, scrape after scrape.
#[derive(Debug)]
pub struct Scrapes {
    values: Vec<f64>,
    round: u64,
}

impl Default for Scrapes {
    fn default() -> Self {
        let start = |at: usize| if at.is_multiple_of(3) { 1.0 } else { at as f64 * 1_234.56 };
        Self { values: (0..SERIES).map(start).collect(), round: 0 }
    }
}

impl Scrapes {
    /// The next scrape's values: a quarter differ from the last one's.
    pub fn next_values(&mut self) -> &[f64] {
        self.round += 1;
        for value in self.values.iter_mut().step_by(CHANGES) {
            // Hundredths, as CPU times have them.
            *value = ((*value * 100.0).round() + 137.0 + (self.round % 7) as f64) / 100.0;
        }
        &self.values
    }

    /// The next scrape's values as cells of [`Scrapes::layout`].
    pub fn next_cells(&mut self) -> Vec<Cell> {
        self.next_values().iter().map(|value| Cell::Value(Number::from_f64(*value))).collect()
    }

    /// The layout of the page at one target.
    ///
    /// # Panics
    /// Never: the page is valid.
    #[must_use]
    pub fn layout(instance: &str) -> Layout {
        let slot = |(name, metric_type, label, at): (&'static str, MetricType, &'static str, usize)| Slot {
            labels: Labels::from_pairs([(METRIC_NAME, name.to_owned()), (label, format!("{label}-{at}"))]),
            metadata: Metadata { metric_type, ..Metadata::default() }.into(),
            part: None,
        };
        let target = Labels::from_pairs([("instance", instance), ("job", "node")]);
        Layout::new(target, series().map(slot).collect()).expect("names of the page are unique")
    }
}

/// The page as text 0.0.4 with these values.
#[must_use]
pub fn page(values: &[f64]) -> String {
    let mut out = String::new();
    let mut last = "";
    for ((name, metric_type, label, at), value) in series().zip(values) {
        if name != last {
            // Writing to a string cannot fail.
            let _ =
                writeln!(out, "# HELP {name} What {name} is, in a sentence.\n# TYPE {name} {metric_type}");
            last = name;
        }
        let _ = writeln!(out, "{name}{{{label}=\"{label}-{at}\"}} {value}");
    }
    out
}

fn series() -> impl Iterator<Item = (&'static str, MetricType, &'static str, usize)> {
    FAMILIES
        .iter()
        .flat_map(|(name, metric_type, label, count)| (0..*count).map(|at| (*name, *metric_type, *label, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_series_and_a_quarter_change() {
        let mut scrapes = Scrapes::default();
        let before = scrapes.next_values().to_vec();
        assert_eq!(before.len(), SERIES);
        assert_eq!(page(&before).lines().filter(|line| !line.starts_with('#')).count(), SERIES);
        assert_eq!(Scrapes::layout("x").slots().len(), SERIES);
        let changed = before.iter().zip(scrapes.next_values()).filter(|(old, new)| old != new).count();
        assert_eq!(changed, SERIES / CHANGES);
    }
}
