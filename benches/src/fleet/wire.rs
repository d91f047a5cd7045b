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
}

impl<'a> WriteRequests<'a> {
    /// For a fleet.
    #[must_use]
    pub fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, known: vec![None; fleet.plan().hosts], values: Vec::new() }
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
                let series = columns(&page).iter().map(|slot| series(&whole(&target, slot))).collect();
                WriteRequest { timeseries: series }
            }
        };
        let timestamp = plan.scraped_at(host, slot);
        for (series, value) in request.timeseries.iter_mut().zip(&self.values) {
            series.samples = vec![Sample { value: *value, timestamp }];
        }
        let body = compress(&request.encode_to_vec());
        self.known[host] = Some((generation, rollout, request));
        Some(WriteBody { body, samples: self.values.len() })
    }
}

fn series(labels: &Labels) -> TimeSeries {
    let label = |(name, value): (&str, &str)| Label { name: name.to_owned(), value: value.to_owned() };
    TimeSeries { labels: labels.pairs().map(label).collect(), samples: Vec::new() }
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
