//! A month of one metric: few series with many samples each, as remote-write requests. What long ranges are asked of.

use proto::remote_write_1::{Label, Sample, TimeSeries, WriteRequest};

use super::draws::Draws;
use super::wire::{WriteBody, compress};

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
    labels: Vec<Label>,
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
        let mut timeseries = Vec::with_capacity(self.hosts[host].len());
        for device in &mut self.hosts[host] {
            let samples = (0..rows as i64).map(|row| {
                if device.rate > 0.0 && self.draws.chance(0.8) {
                    let seconds = self.interval_ms as f64 / 1_000.0;
                    device.bytes += (device.rate * seconds * (0.5 + self.draws.unit())).round();
                }
                Sample { value: device.bytes, timestamp: from_ms + row * self.interval_ms + place }
            });
            let samples: Vec<Sample> = samples.collect();
            timeseries.push(TimeSeries { labels: device.labels.clone(), samples, ..TimeSeries::default() });
        }
        let samples = timeseries.len() * rows;
        let request = WriteRequest { timeseries, metadata: Vec::new() };
        WriteBody { body: compress(&prost::Message::encode_to_vec(&request)), samples }
    }
}

fn labels(host: usize, device: usize) -> Vec<Label> {
    let pairs = [
        ("__name__", "node_network_receive_bytes_total".to_owned()),
        ("device", format!("eth{device}")),
        ("instance", format!("month-{host:05}")),
        ("job", "month".to_owned()),
    ];
    pairs.map(|(name, value)| Label { name: name.to_owned(), value }).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_grow_from_request_to_request() {
        let mut month = Month::new(23, 15_000, 1);
        assert_eq!(month.hosts(), 3);
        let mut read = |host, from| {
            let body = month.request(host, from, 40);
            let plain = snap::raw::Decoder::new().decompress_vec(&body.body).expect("snappy");
            let request: WriteRequest = prost::Message::decode(plain.as_slice()).expect("a request");
            assert_eq!(body.samples, request.timeseries.len() * 40);
            request.timeseries
        };
        assert_eq!(read(2, 0).len(), 3);
        let (before, after) = (read(0, 0), read(0, 600_000));
        for (before, after) in before.iter().zip(&after) {
            let samples: Vec<&Sample> = before.samples.iter().chain(&after.samples).collect();
            let ascends = |pair: &[&Sample]| {
                pair[0].value <= pair[1].value && pair[0].timestamp + 15_000 == pair[1].timestamp
            };
            assert!(samples.windows(2).all(ascends));
        }
        assert!(before.iter().zip(&after).any(|(one, other)| one.samples[0].value < other.samples[0].value));
    }
}
