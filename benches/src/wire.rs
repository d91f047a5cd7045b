//! Remote write requests, as a sender with many series makes them.

use std::collections::HashMap;

use model::Labels;
use proto::{remote_write_1 as v1, remote_write_2 as v2};

use crate::page::{SERIES, Scrapes};

/// Between two scrapes, in milliseconds.
const STEP_MS: i64 = 15_000;

/// A sender of a page's series at as many hosts as it takes. A quarter of the values change from one
/// scrape to the next.
#[derive(Debug)]
pub struct Sender {
    series: Vec<Labels>,
    at: i64,
    round: i64,
}

impl Sender {
    /// A sender whose first scrape is after `at`, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(series: usize, at: i64) -> Self {
        let hosts = 0..series.div_ceil(SERIES);
        let layouts = hosts.map(|host| Scrapes::layout(&format!("host-{host}:9100")));
        let all = layouts.flat_map(|layout| (0..SERIES).map(move |slot| layout.series(slot)));
        Self { series: all.take(series).collect(), at, round: 0 }
    }

    /// The next request, compressed: so many scrapes of all series.
    ///
    /// # Panics
    /// When it is too large to be compressed.
    pub fn next_request(&mut self, scrapes: i64, second: bool) -> Vec<u8> {
        let body = if second { self.request_2(scrapes) } else { self.request_1(scrapes) };
        self.at += scrapes * STEP_MS;
        self.round += scrapes;
        snap::raw::Encoder::new().compress_vec(&body).expect("a request of moderate size")
    }

    fn samples(&self, series: usize, scrapes: i64) -> impl Iterator<Item = (i64, f64)> {
        let (at, round, series) = (self.at, self.round, series as i64);
        (1..=scrapes).map(move |scrape| {
            let value = match series % 8 {
                0 => (series * 123_456 + (round + scrape) * 137) as f64 / 100.0,
                4 => (series * 4_096 + (round + scrape) * 512) as f64,
                1 | 2 => 1.0,
                _ => series as f64 * 1_234.5,
            };
            (at + scrape * STEP_MS, value)
        })
    }

    fn request_1(&self, scrapes: i64) -> Vec<u8> {
        let timeseries = self.series.iter().enumerate().map(|(at, labels)| v1::TimeSeries {
            labels: labels
                .pairs()
                .map(|(name, value)| v1::Label { name: name.to_owned(), value: value.to_owned() })
                .collect(),
            samples: self
                .samples(at, scrapes)
                .map(|(timestamp, value)| v1::Sample { value, timestamp })
                .collect(),
            ..Default::default()
        });
        let request = v1::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() };
        prost::Message::encode_to_vec(&request)
    }

    fn request_2(&self, scrapes: i64) -> Vec<u8> {
        let (mut symbols, mut known) = (vec![String::new()], HashMap::new());
        let mut symbol = |text: &str| {
            *known.entry(text.to_owned()).or_insert_with(|| {
                symbols.push(text.to_owned());
                symbols.len() as u32 - 1
            })
        };
        let mut timeseries = Vec::with_capacity(self.series.len());
        for (at, labels) in self.series.iter().enumerate() {
            let samples = self.samples(at, scrapes);
            timeseries.push(v2::TimeSeries {
                labels_refs: labels.pairs().flat_map(|(name, value)| [symbol(name), symbol(value)]).collect(),
                samples: samples
                    .map(|(timestamp, value)| v2::Sample { value, timestamp, start_timestamp: 0 })
                    .collect(),
                metadata: Some(v2::Metadata { r#type: 2, help_ref: 0, unit_ref: 0 }),
                ..Default::default()
            });
        }
        prost::Message::encode_to_vec(&v2::Request { symbols, timeseries })
    }
}
