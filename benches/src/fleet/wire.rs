//! Pages as requests of remote write 1: protobuf, compressed with snappy.
//!
//! The messages are those of the remote-write 1.0 specification.

use model::Labels;
use prost::Message;

use super::columns::{columns, whole};
use super::{Fleet, targets};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

/// A native histogram with positive buckets alone, all of them neighbours.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(super) count: u64,
    #[prost(double, tag = "3")]
    pub(super) sum: f64,
    #[prost(sint32, tag = "4")]
    pub(super) schema: i32,
    #[prost(double, tag = "5")]
    zero_threshold: f64,
    /// Said although it is 0: it tells counts that are whole numbers from others.
    #[prost(uint64, optional, tag = "6")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "11")]
    spans: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "12")]
    pub(super) deltas: Vec<i64>,
    #[prost(int64, tag = "15")]
    timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct BucketSpan {
    #[prost(sint32, tag = "1")]
    offset: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

impl Histogram {
    /// Counts by bucket, as differences, from the bucket `first` on.
    pub(super) fn new(schema: i32, first: i32, deltas: Vec<i64>, sum: f64, timestamp: i64) -> Self {
        let counts = deltas.iter().scan(0, |count, delta| {
            *count += delta;
            Some(*count)
        });
        let count = counts.sum::<i64>() as u64;
        let spans = vec![BucketSpan { offset: first, length: deltas.len() as u32 }];
        Self { count, sum, schema, zero_threshold: 1e-128, zero_count: Some(0), spans, deltas, timestamp }
    }
}

/// A request of one native histogram.
pub(super) fn histogram_request(labels: &Labels, histogram: Histogram) -> WriteBody {
    let timeseries = vec![TimeSeries { histograms: vec![histogram], ..series(labels) }];
    WriteBody { body: compress(&WriteRequest { timeseries }.encode_to_vec()), samples: 1 }
}

/// A request of several series, each with times and values.
pub(super) fn series_request<'l>(all: impl Iterator<Item = (&'l Labels, Vec<(i64, f64)>)>) -> WriteBody {
    let mut samples = 0;
    let timeseries = all.map(|(labels, points)| {
        samples += points.len();
        let sample = |(timestamp, value)| Sample { value, timestamp };
        TimeSeries { samples: points.into_iter().map(sample).collect(), ..series(labels) }
    });
    let request = WriteRequest { timeseries: timeseries.collect() };
    WriteBody { body: compress(&request.encode_to_vec()), samples }
}

/// The times and values of each series of a request.
#[cfg(test)]
pub(super) fn points(body: &WriteBody) -> Vec<Vec<(i64, f64)>> {
    let plain = snap::raw::Decoder::new().decompress_vec(&body.body).expect("snappy");
    let request = WriteRequest::decode(plain.as_slice()).expect("a request");
    let of = |series: TimeSeries| series.samples.iter().map(|one| (one.timestamp, one.value)).collect();
    request.timeseries.into_iter().map(of).collect()
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// A body to POST with `Content-Encoding: snappy`, and how many samples are in it.
#[derive(Debug)]
pub struct WriteBody {
    /// The compressed request.
    pub body: Vec<u8>,
    /// Samples in it.
    pub samples: usize,
}

/// Turns pages into requests, remembering the labels of each host's series.
#[derive(Debug)]
pub struct WriteRequests<'a> {
    fleet: &'a Fleet,
    known: Vec<Option<(u64, u64, WriteRequest)>>,
    values: Vec<f64>,
    as_scraped: bool,
}

impl<'a> WriteRequests<'a> {
    /// For a fleet.
    #[must_use]
    pub fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, known: vec![None; fleet.plan().hosts], values: Vec::new(), as_scraped: false }
    }

    /// With what a scraper adds of its own: `up` and `scrape_samples_scraped`.
    #[must_use]
    pub fn as_scraped(mut self) -> Self {
        self.as_scraped = true;
        self
    }

    /// One host's samples at a slot; none when it does not answer.
    pub fn request(&mut self, host: usize, slot: u64) -> Option<WriteBody> {
        let plan = self.fleet.plan();
        let generation = self.fleet.values(host, slot, &mut self.values)?;
        let rollout = plan.rollout(host, slot);
        let known = self.known[host].take().filter(|known| (known.0, known.1) == (generation, rollout));
        let mut request = match known {
            Some((.., request)) => request,
            None => {
                let (page, target) = (self.fleet.page(host, slot)?, targets::target(plan, host, slot));
                let mut all: Vec<_> =
                    columns(&page).iter().map(|slot| series(&whole(&target, slot))).collect();
                if self.as_scraped {
                    all.extend(OF_SCRAPERS.map(|name| series(&named(&target, name))));
                }
                WriteRequest { timeseries: all }
            }
        };
        if self.as_scraped {
            self.values.extend([1.0, self.values.len() as f64]);
        }
        let timestamp = plan.scraped_at(host, slot);
        for (series, value) in request.timeseries.iter_mut().zip(&self.values) {
            series.samples = vec![Sample { value: *value, timestamp }];
        }
        let body = compress(&request.encode_to_vec());
        self.known[host] = Some((generation, rollout, request));
        Some(WriteBody { body, samples: self.values.len() })
    }
}

/// What a scraper adds to a target's samples.
const OF_SCRAPERS: [&str; 2] = ["up", "scrape_samples_scraped"];

/// A series of that name with a target's labels.
pub(super) fn named(target: &Labels, name: &str) -> Labels {
    let mut labels = target.to_builder();
    labels.set(model::METRIC_NAME, name);
    labels.build()
}

fn series(labels: &Labels) -> TimeSeries {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    TimeSeries { labels: labels.pairs().map(label).collect(), ..TimeSeries::default() }
}

/// # Panics
/// Never: a request is far below snappy's 4 GiB.
fn compress(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).expect("below 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::tests::plan;

    #[test]
    fn what_scrapers_add_says_how_much_was_scraped() {
        let fleet = Fleet::new(plan(1));
        let body = WriteRequests::new(&fleet).as_scraped().request(0, 0).expect("it is up").body;
        let plain = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
        let mut series = WriteRequest::decode(plain.as_slice()).expect("a request").timeseries;
        let scraped = series.pop().expect("samples scraped");
        assert_eq!(scraped.labels[0].value, "scrape_samples_scraped");
        let up = series.pop().expect("up");
        assert_eq!((up.labels[0].value.as_str(), up.samples[0].value), ("up", 1.0));
        assert_eq!(scraped.samples[0].value, series.len() as f64);
    }

    #[test]
    fn a_request_holds_the_page() {
        let fleet = Fleet::new(plan(2));
        let mut requests = WriteRequests::new(&fleet);
        for slot in [0, 1] {
            let body = requests.request(1, slot).expect("it is up");
            let plain = snap::raw::Decoder::new().decompress_vec(&body.body).expect("snappy");
            let request = WriteRequest::decode(plain.as_slice()).expect("a request");
            let page = fleet.page(1, slot).expect("it is up");
            assert_eq!((request.timeseries.len(), body.samples), (page.series(), page.series()));
            for series in &request.timeseries {
                assert!(series.labels.is_sorted_by(|one, other| one.name < other.name));
                assert_eq!(series.samples[0].timestamp, fleet.plan().scraped_at(1, slot));
            }
        }
    }
}
