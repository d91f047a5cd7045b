//! `stat`: boots, forks, interrupts, context switches.

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/stat";

pub(crate) fn collect(stat: &str, page: &mut Page) -> Result<(), CollectError> {
    for line in stat.lines() {
        let mut fields = line.split_ascii_whitespace();
        let Some(key) = fields.next() else { continue };
        let mut value = || number(FILE, fields.next());
        match key {
            "intr" => page.counter("node_intr_total", "Total number of interrupts serviced.", &[], value()?),
            "ctxt" => page.counter(
                "node_context_switches_total",
                "Total number of context switches.",
                &[],
                value()?,
            ),
            "btime" => page.gauge("node_boot_time_seconds", "Node boot time, in unixtime.", &[], value()?),
            "processes" => page.counter("node_forks_total", "Total number of forks.", &[], value()?),
            "procs_running" => {
                page.gauge("node_procs_running", "Number of processes in runnable state.", &[], value()?)
            }
            "procs_blocked" => {
                page.gauge(
                    "node_procs_blocked",
                    "Number of processes blocked waiting for I/O to complete.",
                    &[],
                    value()?,
                );
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::has;

    #[test]
    fn the_first_number_of_a_line_counts() {
        let mut page = Page::default();
        collect("cpu 1 2\nintr 8885917 17 0 0\nctxt 38014093\nbtime 1418183276\nprocesses 26442\nprocs_running 2\nprocs_blocked 1\n", &mut page)
            .expect("valid");
        has(&page, "node_intr_total{} 8885917");
        has(&page, "node_boot_time_seconds{} 1418183276");
        assert_eq!(page.samples.len(), 6);
        assert!(collect("ctxt many\n", &mut Page::default()).is_err());
    }
}
