//! `netdev`: what each network interface received and sent.

use super::{CollectError, number};
use crate::page::Page;

const FILE: &str = "/proc/net/dev";

/// Names of the columns behind the interface's name.
const COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

pub(crate) fn collect(dev: &str, page: &mut Page) -> Result<(), CollectError> {
    let mut interfaces = Vec::new();
    // Two lines of headings come first.
    for line in dev.lines().skip(2) {
        let Some((name, counts)) = line.rsplit_once(':') else {
            return Err(CollectError::Parse { file: FILE, what: format!("no interface: {line:?}") });
        };
        let mut fields = counts.split_ascii_whitespace();
        let values: Vec<f64> =
            COLUMNS.iter().map(|_| number(FILE, fields.next())).collect::<Result<_, _>>()?;
        interfaces.push((name.trim(), values));
    }
    for (at, column) in COLUMNS.iter().enumerate() {
        for (device, values) in &interfaces {
            let name = format!("node_network_{column}_total");
            page.counter(name, "Network device statistic.", &[("device", device)], values[at]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collectors::testing::has;

    #[test]
    fn every_column_of_every_interface() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n  eth0:17 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let mut page = Page::default();
        collect(text, &mut page).expect("valid");
        assert_eq!(page.samples.len(), 32);
        has(&page, "node_network_receive_multicast_total{device=\"lo\"} 8");
        has(&page, "node_network_transmit_compressed_total{device=\"lo\"} 16");
        has(&page, "node_network_receive_bytes_total{device=\"eth0\"} 17");
        assert!(collect("a\nb\n lo: 1 2\n", &mut Page::default()).is_err());
    }
}
