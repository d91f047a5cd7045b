//! A month of one metric: few series with many samples each, as remote-write requests. What long ranges are asked of.

use model::Labels;

use super::draws::Draws;
use super::wire::{WriteBody, series_request};

/// Series that one host has: its network devices.
const DEVICES: usize = 10;

/// Bytes that network devices received, at hosts of the job `month`.
#[derive(Debug)]
pub struct Month {
    draws: Draws,
    interval_ms: i64,
    hosts: Vec<Vec<Device>>,
}

#[derive(Debug)]
struct Device {
    labels: Labels,
    bytes: f64,
    /// Bytes a second while it is busy; some never are.
    rate: f64,
}

impl Month {
    /// So many series, with a sample each interval.
    #[must_use]
    pub fn new(series: usize, interval_ms: i64, seed: u64) -> Self {
        let mut draws = Draws::new(&[seed, series as u64]);
        let hosts = (0..series.div_ceil(DEVICES)).map(|host| {
            let devices = (0..DEVICES.min(series - host * DEVICES)).map(|device| {
                let rate = if draws.chance(0.3) { 0.0 } else { 40_000.0 * draws.unit() };
                Device { labels: labels(host, device), bytes: draws.between(0, 1 << 36) as f64, rate }
            });
            devices.collect()
        });
        let hosts = hosts.collect();
        Self { draws, interval_ms, hosts }
    }

    /// How many hosts there are: each has its requests to itself.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// A host's next samples, from a time on; to be asked for in order of time.
    pub fn request(&mut self, host: usize, from_ms: i64, rows: usize) -> WriteBody {
        // Never where windows of whole seconds begin: versions differ in what they do there.
        let place = (host as i64 * 1_000 + 311) % self.interval_ms;
        let Self { draws, interval_ms, hosts } = self;
        let series = hosts[host].iter_mut().map(|device| {
            let points = (0..rows as i64).map(|row| {
                if device.rate > 0.0 && draws.chance(0.8) {
                    let seconds = *interval_ms as f64 / 1_000.0;
                    device.bytes += (device.rate * seconds * (0.5 + draws.unit())).round();
                }
                (from_ms + row * *interval_ms + place, device.bytes)
            });
            let points = points.collect();
            (&device.labels, points)
        });
        series_request(series)
    }
}

fn labels(host: usize, device: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "node_network_receive_bytes_total".to_owned()),
        ("device", format!("eth{device}")),
        ("instance", format!("month-{host:05}")),
        ("job", "month".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::wire::points;
    use super::*;

    #[test]
    fn counters_grow_from_request_to_request() {
        let mut month = Month::new(23, 15_000, 1);
        assert_eq!(month.hosts(), 3);
        let mut read = |host, from| {
            let body = month.request(host, from, 40);
            let found = points(&body);
            assert_eq!(body.samples, found.len() * 40);
            found
        };
        assert_eq!(read(2, 0).len(), 3);
        let (before, after) = (read(0, 0), read(0, 600_000));
        for (before, after) in before.iter().zip(&after) {
            let all: Vec<(i64, f64)> = before.iter().chain(after).copied().collect();
            assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].1 && pair[0].0 + 15_000 == pair[1].0));
        }
        assert!(before.iter().zip(&after).any(|(one, other)| one[0].1 < other[0].1));
    }
}
