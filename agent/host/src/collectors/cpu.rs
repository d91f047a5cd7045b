//! `cpu`: seconds that each CPU spent in each mode.

use std::collections::BTreeMap;

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/stat";
/// The kernel gives user-visible ticks of 1/100 s on every architecture that Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;
/// An idle counter that falls by more is a CPU that was re-plugged: its counters start anew.
const IDLE_DROP_SECONDS: f64 = 3.0;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
const IDLE: usize = 3;
const FIELDS: usize = 10;

/// The counters as last given, since the kernel's own may fall a little.
#[derive(Debug, Default)]
pub(crate) struct Cpu {
    seen: BTreeMap<u32, [f64; FIELDS]>,
}

impl Cpu {
    pub(crate) fn collect(&mut self, stat: &str, page: &mut Page) -> Result<(), CollectError> {
        let mut present = BTreeMap::new();
        for line in stat.lines() {
            let Some(rest) = line.strip_prefix("cpu") else { continue };
            let mut fields = rest.split_ascii_whitespace();
            // The first line sums all CPUs and has no number.
            let Some(Ok(cpu)) =
                rest.starts_with(|c: char| c.is_ascii_digit()).then(|| fields.next().unwrap_or("").parse())
            else {
                continue;
            };
            let mut now = [0.0; FIELDS];
            for (at, slot) in now.iter_mut().enumerate() {
                // Kernels before 2.6.33 end earlier.
                *slot = match fields.next() {
                    None if at > IDLE => 0.0,
                    field => number(FILE, field)? / TICKS_PER_SECOND,
                };
            }
            present.insert(cpu, self.never_back(cpu, now));
        }
        // A CPU that went offline is forgotten, and so gone from the page.
        self.seen = present;
        for (cpu, seconds) in &self.seen {
            let cpu = cpu.to_string();
            for (mode, value) in ["user", "nice"].into_iter().zip(&seconds[MODES.len()..]) {
                page.counter(
                    "node_cpu_guest_seconds_total",
                    "Seconds the CPUs spent in guests (VMs) for each mode.",
                    &[("cpu", &cpu), ("mode", mode)],
                    *value,
                );
            }
            for (mode, value) in MODES.into_iter().zip(seconds) {
                page.counter(
                    "node_cpu_seconds_total",
                    "Seconds the CPUs spent in each mode.",
                    &[("cpu", &cpu), ("mode", mode)],
                    *value,
                );
            }
        }
        Ok(())
    }

    /// Each field keeps its old value when it falls, unless the whole CPU started anew.
    fn never_back(&self, cpu: u32, now: [f64; FIELDS]) -> [f64; FIELDS] {
        let Some(before) = self.seen.get(&cpu) else { return now };
        if before[IDLE] - now[IDLE] >= IDLE_DROP_SECONDS {
            return now;
        }
        std::array::from_fn(|at| now[at].max(before[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::{has, lines};

    fn read(cpu: &mut Cpu, stat: &str) -> Page {
        let mut page = Page::default();
        cpu.collect(stat, &mut page).expect("valid");
        page
    }

    #[test]
    fn ticks_become_seconds_by_mode() {
        let page = read(
            &mut Cpu::default(),
            "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 100 200 300 400 500 600 700 800 900 1000\nintr 5\n",
        );
        assert_eq!(page.samples.len(), 10);
        has(&page, "node_cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 4");
        has(&page, "node_cpu_seconds_total{cpu=\"0\",mode=\"steal\"} 8");
        has(&page, "node_cpu_guest_seconds_total{cpu=\"0\",mode=\"nice\"} 10");
    }

    #[test]
    fn a_counter_falls_only_when_its_cpu_started_anew() {
        let mut cpu = Cpu::default();
        read(&mut cpu, "cpu0 500 0 0 1000 0 0 0 0 0 0\n");
        let page = read(&mut cpu, "cpu0 400 0 0 900 0 0 0 0 0 0\n");
        has(&page, "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 5");
        let page = read(&mut cpu, "cpu0 4 0 0 1 0 0 0 0 0 0\n");
        has(&page, "node_cpu_seconds_total{cpu=\"0\",mode=\"user\"} 0.04");
        assert!(lines(&read(&mut cpu, "cpu1 1 1 1 1\n")).iter().all(|line| line.contains("cpu=\"1\"")));
    }
}
