//! A page with the proportions of a node_exporter's: 594 series in 253 families, half of its bytes comments.

use std::fmt::Write as _;

use exposition::format_go_float;

/// Series of a [`NodePage`].
pub const NODE_SERIES: usize = 594;
/// Families with one series each.
const SINGLES: usize = 243;
/// Families with more: name, type, the label that tells their series apart, how many they are.
const FAMILIES: [(&str, &str, &str, usize); 10] = [
    ("node_cpu_seconds_total", "counter", "mode", 16),
    ("node_scrape_collector_duration_seconds", "gauge", "collector", 49),
    ("node_scrape_collector_success", "gauge", "collector", 49),
    ("node_interrupts_total", "counter", "type", 110),
    ("node_disk_read_bytes_total", "counter", "device", 12),
    ("node_disk_io_time_seconds_total", "counter", "device", 12),
    ("node_network_receive_bytes_total", "counter", "device", 9),
    ("node_network_up", "gauge", "device", 9),
    ("node_filesystem_avail_bytes", "gauge", "mountpoint", 25),
    ("node_systemd_unit_state", "gauge", "name", 60),
];

/// The page of one host, scrape after scrape.
#[derive(Clone, Debug)]
pub struct NodePage {
    /// Each line up to its value, with the comments before it.
    segments: Vec<String>,
    values: Vec<f64>,
    round: u64,
}

impl NodePage {
    /// A host; equal seeds give equal values.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut segments = Vec::with_capacity(NODE_SERIES);
        for (name, kind, label, count) in FAMILIES {
            for at in 0..count {
                let comments = if at == 0 { comments(name, kind) } else { String::new() };
                segments.push(format!("{comments}{name}{{cpu=\"{}\",{label}=\"{label}-{at}\"}} ", at % 4));
            }
        }
        for at in 0..SINGLES {
            let name = format!("node_memory_Kind{at}_bytes");
            segments.push(format!("{}{name} ", comments(&name, "gauge")));
        }
        let values = (0..segments.len() as u64).map(|at| start(seed, at)).collect();
        Self { segments, values, round: 0 }
    }

    /// The next scrape's page: one value in four differs from the last one's.
    pub fn next_page(&mut self) -> String {
        self.advance();
        self.render()
    }

    /// The next scrape's page with two neighbouring lines of one family exchanged.
    pub fn next_reordered(&mut self) -> String {
        self.advance();
        let at = 20 + (self.round as usize * 7) % 30;
        self.segments.swap(at, at + 1);
        self.values.swap(at, at + 1);
        self.render()
    }

    fn advance(&mut self) {
        self.round += 1;
        for (at, value) in self.values.iter_mut().enumerate().skip((self.round % 4) as usize).step_by(4) {
            *value = match at % 8 {
                // Nanosecond durations, hundredths of seconds, whole bytes: as node_exporter has them.
                0..=2 => ((at as u64 * 7_919 + self.round * 104_729) % 1_000_000_000) as f64 / 1e9,
                3..=4 => ((*value * 100.0).round() + 137.0) / 100.0,
                _ => (value.trunc() + 4_096.0 * (1 + self.round % 7) as f64).min(1e12),
            };
        }
    }

    fn render(&self) -> String {
        let mut out = String::with_capacity(70 << 10);
        for (segment, value) in self.segments.iter().zip(&self.values) {
            out.push_str(segment);
            out.push_str(&format_go_float(*value));
            out.push('\n');
        }
        out
    }
}

fn comments(name: &str, kind: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} Information field {name} as the kernel counts it.");
    let _ = writeln!(out, "# TYPE {name} {kind}");
    out
}

fn start(seed: u64, at: u64) -> f64 {
    let noise = (at + 1).wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24;
    match at % 4 {
        0 => (at % 8 / 4) as f64,
        1 => (noise % 100_000_000) as f64 / 100.0,
        2 => ((noise % 10_000_000) * 4_096) as f64,
        _ => (noise % 100_000) as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_the_proportions_it_says() {
        let mut node = NodePage::new(1);
        let (one, two) = (node.next_page(), node.next_page());
        let samples = |page: &str| -> Vec<String> {
            page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&one).len(), NODE_SERIES);
        let comments: usize = one.lines().filter(|line| line.starts_with('#')).map(str::len).sum();
        assert!((0.4..0.7).contains(&(comments as f64 / one.len() as f64)), "{comments} of {}", one.len());
        let changed = samples(&one).iter().zip(&samples(&two)).filter(|(old, new)| old != new).count();
        assert!((NODE_SERIES / 5..=NODE_SERIES / 4 + 1).contains(&changed), "{changed} values changed");
        let mut sorted = (samples(&two), samples(&node.next_reordered()));
        assert_eq!(sorted.0.len(), sorted.1.len());
        let names = |lines: &mut Vec<String>| {
            lines.iter_mut().for_each(|line| line.truncate(line.rfind(' ').unwrap_or(0)));
            lines.clone()
        };
        let (before, mut after) = (names(&mut sorted.0), names(&mut sorted.1));
        assert_eq!(before.iter().zip(&after).filter(|(old, new)| old != new).count(), 2);
        after.sort_unstable();
        assert!(before.iter().all(|name| after.binary_search(name).is_ok()));
    }
}
