//! Requests as readers write them, answers as they read them.

use std::sync::Arc;

use axum::body::Body;
use block::chunk::{self, Encoding, SAMPLES_PER_CHUNK};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use model::{AnyHistogram, HistogramSample, IntegerHistogram, Labels, MatchOp, Matcher, Sample};
use prost::Message as _;
use proto::prompb;
use tower::ServiceExt as _;

use super::wire::{Joined, frames};
use super::{as_stored, joined};
use crate::tests::world::{NOW, World, state_with};

fn request(queries: &[(i64, i64, &str)], accepted: &[i32]) -> Vec<u8> {
    let query = |(start, end, name): &(i64, i64, &str)| prompb::Query {
        start_timestamp_ms: *start,
        end_timestamp_ms: *end,
        matchers: vec![prompb::LabelMatcher {
            r#type: prompb::label_matcher::Type::Eq as i32,
            name: "__name__".to_owned(),
            value: (*name).to_owned(),
        }],
        hints: None,
    };
    let request = prompb::ReadRequest {
        queries: queries.iter().map(query).collect(),
        accepted_response_types: accepted.to_vec(),
    };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("small enough")
}

async fn ask(body: Vec<u8>) -> (StatusCode, String, Vec<u8>) {
    let request = Request::post("/api/v1/read").body(Body::from(body)).expect("a request");
    let response = crate::router(state_with(World::default())).oneshot(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
    let kind = kind.to_owned();
    (head.status, kind, body.collect().await.expect("a body").to_bytes().to_vec())
}

/// The messages of a stream whose checksums are right.
fn messages(mut stream: &[u8]) -> Vec<prompb::ChunkedReadResponse> {
    let mut out = Vec::new();
    while !stream.is_empty() {
        let length = prost::encoding::decode_varint(&mut stream).expect("a length");
        let (checksum, rest) = stream.split_first_chunk::<4>().expect("a checksum");
        let (message, rest) = rest.split_at(usize::try_from(length).expect("small"));
        assert_eq!(u32::from_be_bytes(*checksum), crc32c::crc32c(message));
        out.push(prompb::ChunkedReadResponse::decode(message).expect("a message"));
        stream = rest;
    }
    out
}

fn pairs(labels: &[prompb::Label]) -> Vec<(&str, &str)> {
    labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect()
}

#[tokio::test]
async fn samples_come_with_the_external_labels() {
    let (code, kind, body) = ask(request(&[(NOW - 20_000, NOW, "up"), (0, 1, "up")], &[])).await;
    assert_eq!((code, kind.as_str()), (StatusCode::OK, "application/x-protobuf"));
    let body = snap::raw::Decoder::new().decompress_vec(&body).expect("snappy");
    let response = prompb::ReadResponse::decode(body.as_slice()).expect("a response");
    let [one, two] = response.results.as_slice() else { panic!("two results: {response:?}") };
    assert!(two.timeseries.is_empty());
    let series: Vec<_> = one
        .timeseries
        .iter()
        .map(|series| {
            let samples: Vec<_> =
                series.samples.iter().map(|sample| (sample.timestamp - NOW, sample.value)).collect();
            (pairs(&series.labels), samples)
        })
        .collect();
    assert_eq!(
        series,
        [
            (
                vec![("__name__", "up"), ("instance", "a:1"), ("job", "node"), ("region", "eu")],
                vec![(-15_000, 1.0)]
            ),
            (vec![("__name__", "up"), ("job", "<b>"), ("region", "eu")], vec![(-500, 1e21)]),
        ]
    );
}

#[tokio::test]
async fn chunks_are_streamed_query_by_query() {
    // A type that nobody knows yet is passed over.
    let (code, kind, body) = ask(request(&[(0, NOW, "gone"), (0, NOW, "up")], &[7, 1, 0])).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(kind, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    let messages = messages(&body);
    let mut read = Vec::new();
    for message in &messages {
        for series in &message.chunked_series {
            let mut samples = 0;
            for chunk in &series.chunks {
                assert_eq!(chunk.r#type, Encoding::Xor as i32);
                let chunk::Samples::Floats(floats) =
                    chunk::decode(Encoding::Xor, &chunk.data).expect("a chunk")
                else {
                    panic!("floats");
                };
                let times = (floats.first().map(|s| s.timestamp), floats.last().map(|s| s.timestamp));
                assert_eq!(times, (Some(chunk.min_time_ms), Some(chunk.max_time_ms)));
                samples += floats.len();
            }
            read.push((message.query_index, pairs(&series.labels)[0].1.to_owned(), samples));
        }
    }
    let up = || "up".to_owned();
    assert_eq!(read, [(0, "gone".to_owned(), 2), (1, up(), 2), (1, up(), 1)]);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let large = {
        // A snappy block that says it unfolds to a gigabyte.
        let mut body = Vec::new();
        prost::encoding::encode_varint(1 << 30, &mut body);
        body
    };
    let wrong = snap::raw::Encoder::new().compress_vec(b"\xff\xff").expect("small");
    for (body, text) in [
        (b"garbage".to_vec(), "snappy"),
        (large, "unfolds to 1073741824 bytes"),
        (wrong, "decode"),
        (request(&[], &[9]), "does not support any of the requested response types"),
    ] {
        let (code, _, answer) = ask(body).await;
        let answer = String::from_utf8(answer).expect("text");
        assert_eq!(code, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer.contains(text), "{answer}, wanted {text}");
    }
}

#[test]
fn what_equals_an_external_label_may_be_absent() {
    let external = Labels::from_pairs([("site", "a.b")]);
    let matcher = as_stored(Matcher::equal("site", "a.b"), &external);
    for (value, passes) in [("a.b", true), ("", true), ("axb", false)] {
        let labels = Labels::from_pairs([("site", value)]);
        assert_eq!(matcher.matches_labels(&labels), passes, "{value}");
    }
    for matcher in [
        Matcher::equal("site", "other"),
        Matcher::equal("job", "a.b"),
        Matcher::new("site", MatchOp::NotEqual, "a.b").expect("a matcher"),
    ] {
        assert_eq!(as_stored(matcher.clone(), &external).to_string(), matcher.to_string());
    }
}

fn histogram(timestamp: i64) -> HistogramSample {
    let histogram = IntegerHistogram { count: 1, zero_count: 1, ..IntegerHistogram::default() };
    HistogramSample { timestamp, histogram: Arc::new(AnyHistogram::Integer(histogram)) }
}

#[test]
fn a_series_of_both_kinds_is_one_in_order_of_time() {
    let labels = Labels::from_pairs([("__name__", "x")]);
    let set = storage::SeriesSet {
        series: vec![model::Series {
            labels: labels.clone(),
            samples: vec![Sample::new(10, 1.0), Sample::new(20, 2.0), Sample::new(50, 3.0)],
        }],
        histograms: vec![
            storage::HistogramSeries {
                labels: Labels::from_pairs([("__name__", "a")]),
                samples: vec![histogram(1)],
            },
            storage::HistogramSeries { labels, samples: vec![histogram(5), histogram(30), histogram(60)] },
        ],
        coverage: storage::Coverage::default(),
    };
    let series = joined(set, &Labels::empty());
    let names: Vec<_> = series.iter().map(|series| series.labels.metric_name().to_owned()).collect();
    assert_eq!(names, ["a", "x"]);
    let frame = frames(&series[1], 3, 1 << 20).concat();
    let [message] = messages(&frame).try_into().expect("one message");
    assert_eq!(message.query_index, 3);
    let chunks: Vec<_> = message.chunked_series[0]
        .chunks
        .iter()
        .map(|chunk| (chunk.r#type, chunk.min_time_ms, chunk.max_time_ms))
        .collect();
    assert_eq!(chunks, [(2, 5, 5), (1, 10, 20), (2, 30, 30), (1, 50, 50), (2, 60, 60)]);
}

#[test]
fn a_large_series_is_split_into_frames() {
    let samples: Vec<Sample> = (0..10_000_i64)
        .map(|at| Sample::new(at * 15_000, f64::from(u32::try_from(at).expect("small")).sqrt()))
        .collect();
    let labels = Labels::from_pairs([("__name__", "x")]);
    let series = Joined { labels, floats: samples.clone(), histograms: Vec::new() };
    let frames = frames(&series, 0, 16 << 10);
    assert!(frames.len() > 3, "{} frames", frames.len());
    assert!(frames.iter().all(|frame| frame.len() < (16 << 10) + SAMPLES_PER_CHUNK * 16));
    let chunks = messages(&frames.concat()).into_iter().flat_map(|mut message| {
        assert_eq!(message.chunked_series.len(), 1);
        message.chunked_series.remove(0).chunks
    });
    let read: Vec<Sample> = chunks
        .flat_map(|chunk| match chunk::decode(Encoding::Xor, &chunk.data) {
            Ok(chunk::Samples::Floats(floats)) => floats,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(read, samples);
}
