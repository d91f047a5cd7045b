//! Remote read's messages from and to bytes.

use std::sync::Arc;

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, ResetHint, Schema, Span};
use model::{HistogramSample, Labels, MatchOp, Matcher, Sample};
use prost::Message as _;
use proto::prompb;
use storage::TimeRange;

/// Bytes that a request may unfold to: a matcher takes some tens.
const REQUEST_MAX: usize = 64 << 20;

/// A query of a request.
#[derive(Clone, Debug)]
pub(super) struct ReadQuery {
    pub(super) matchers: Vec<Matcher>,
    pub(super) range: TimeRange,
}

/// What the reader wants.
#[derive(Debug)]
pub(super) struct ReadRequest {
    pub(super) queries: Vec<ReadQuery>,
    pub(super) form: Form,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Samples,
    Chunks,
}

/// Reads a request.
///
/// # Errors
/// What is wrong with it, for a 400.
pub(super) fn read_request(body: &[u8]) -> Result<ReadRequest, String> {
    let size = snap::raw::decompress_len(body).map_err(|error| error.to_string())?;
    if size > REQUEST_MAX {
        return Err(format!("the request unfolds to {size} bytes, {REQUEST_MAX} are read"));
    }
    let body = snap::raw::Decoder::new().decompress_vec(body).map_err(|error| error.to_string())?;
    let request = prompb::ReadRequest::decode(body.as_slice()).map_err(|error| error.to_string())?;
    let form = form(&request.accepted_response_types)?;
    let queries = request.queries.into_iter().map(read_query).collect::<Result<_, _>>()?;
    Ok(ReadRequest { queries, form })
}

fn form(accepted: &[i32]) -> Result<Form, String> {
    use prompb::read_request::ResponseType;
    let known = |number: &i32| match ResponseType::try_from(*number).ok()? {
        ResponseType::Samples => Some(Form::Samples),
        ResponseType::StreamedXorChunks => Some(Form::Chunks),
    };
    match accepted {
        [] => Ok(Form::Samples),
        all => all.iter().find_map(known).ok_or_else(|| {
            format!("server does not support any of the requested response types: {all:?}; supported: 0, 1")
        }),
    }
}

fn read_query(query: prompb::Query) -> Result<ReadQuery, String> {
    use prompb::label_matcher::Type;
    let matcher = |matcher: prompb::LabelMatcher| {
        let op = match Type::try_from(matcher.r#type).map_err(|_| "invalid matcher type".to_owned())? {
            Type::Eq => MatchOp::Equal,
            Type::Neq => MatchOp::NotEqual,
            Type::Re => MatchOp::Regex,
            Type::Nre => MatchOp::NotRegex,
        };
        Matcher::new(matcher.name, op, matcher.value).map_err(|error| error.to_string())
    };
    let matchers = query.matchers.into_iter().map(matcher).collect::<Result<_, String>>()?;
    let mut range = TimeRange { start: query.start_timestamp_ms, end: query.end_timestamp_ms };
    // What the reader's selector looks at can be less than what its query does.
    if let Some(hints) = query.hints.filter(|hints| (hints.start_ms, hints.end_ms) != (0, 0)) {
        range = TimeRange { start: range.start.max(hints.start_ms), end: range.end.min(hints.end_ms) };
    }
    Ok(ReadQuery { matchers, range })
}

/// The answers of all queries as samples, compressed.
pub(super) fn samples(results: Vec<Vec<Joined>>) -> Result<Vec<u8>, snap::Error> {
    let series = |series: Joined| prompb::TimeSeries {
        labels: labels(&series.labels),
        samples: series
            .floats
            .iter()
            .map(|sample| prompb::Sample { value: sample.value, timestamp: sample.timestamp })
            .collect(),
        exemplars: Vec::new(),
        histograms: series.histograms.iter().map(histogram).collect(),
    };
    let result = |all: Vec<Joined>| prompb::QueryResult { timeseries: all.into_iter().map(series).collect() };
    let response = prompb::ReadResponse { results: results.into_iter().map(result).collect() };
    snap::raw::Encoder::new().compress_vec(&response.encode_to_vec())
}

/// A series with samples of both kinds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Joined {
    pub(super) labels: Labels,
    pub(super) floats: Vec<Sample>,
    pub(super) histograms: Vec<HistogramSample>,
}

/// A series' chunks as frames of about `frame_max` bytes: length, checksum, message.
pub(super) fn frames(series: &Joined, query: i64, frame_max: usize) -> Vec<Vec<u8>> {
    let labels = labels(&series.labels);
    let room = frame_max.saturating_sub(labels.iter().map(prost::Message::encoded_len).sum());
    let (mut out, mut chunks, mut used) = (Vec::new(), Vec::new(), 0);
    let mut flush = |chunks: Vec<prompb::Chunk>| {
        let series = prompb::ChunkedSeries { labels: labels.clone(), chunks };
        let message = prompb::ChunkedReadResponse { chunked_series: vec![series], query_index: query };
        out.push(framed(&message.encode_to_vec()));
    };
    for chunk in chunks_of(series) {
        let chunk = prompb::Chunk {
            min_time_ms: chunk.start,
            max_time_ms: chunk.end,
            r#type: chunk.encoding as i32,
            data: chunk.data,
        };
        used += chunk.encoded_len();
        chunks.push(chunk);
        if used >= room {
            flush(std::mem::take(&mut chunks));
            used = 0;
        }
    }
    if !chunks.is_empty() {
        flush(chunks);
    }
    out
}

/// Chunks in order of time: a run of one kind ends where a sample of the other comes.
fn chunks_of(series: &Joined) -> Vec<block::chunk::Chunk> {
    let (mut floats, mut histograms) = (series.floats.as_slice(), series.histograms.as_slice());
    let mut out = Vec::new();
    while let Some(first) = floats.first() {
        let before = histograms.partition_point(|sample| sample.timestamp < first.timestamp);
        let (run, rest) = histograms.split_at(before);
        out.extend(block::chunk::histograms(run));
        histograms = rest;
        let until = histograms.first().map_or(i64::MAX, |sample| sample.timestamp);
        // Samples of both kinds never have one time; where they had, the float counts and nothing is endless.
        let before = floats.partition_point(|sample| sample.timestamp <= until);
        let (run, rest) = floats.split_at(before.max(1));
        out.extend(block::chunk::floats(run));
        floats = rest;
    }
    out.extend(block::chunk::histograms(histograms));
    out
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(message.len() + 14);
    prost::encoding::encode_varint(message.len() as u64, &mut frame);
    frame.extend(crc32c::crc32c(message).to_be_bytes());
    frame.extend(message);
    frame
}

fn labels(labels: &Labels) -> Vec<prompb::Label> {
    let pair = |(name, value): (&str, &str)| prompb::Label { name: name.to_owned(), value: value.to_owned() };
    labels.pairs().map(pair).collect()
}

fn histogram(sample: &HistogramSample) -> prompb::Histogram {
    use prompb::histogram::{Count as Observations, ZeroCount};
    match Arc::as_ref(&sample.histogram) {
        AnyHistogram::Integer(it) => prompb::Histogram {
            count: Some(Observations::CountInt(it.count)),
            zero_count: Some(ZeroCount::ZeroCountInt(it.zero_count)),
            negative_deltas: deltas(&it.negative),
            positive_deltas: deltas(&it.positive),
            ..common(it, sample.timestamp)
        },
        AnyHistogram::Float(it) => prompb::Histogram {
            count: Some(Observations::CountFloat(it.count)),
            zero_count: Some(ZeroCount::ZeroCountFloat(it.zero_count)),
            negative_counts: it.negative.counts().to_vec(),
            positive_counts: it.positive.counts().to_vec(),
            ..common(it, sample.timestamp)
        },
    }
}

/// What both kinds of histograms have.
fn common<C: Count>(histogram: &Histogram<C>, timestamp: i64) -> prompb::Histogram {
    use prompb::histogram::ResetHint as Hint;
    let spans = |spans: &[Span]| {
        let span = |span: &Span| prompb::BucketSpan { offset: span.offset, length: span.length };
        spans.iter().map(span).collect()
    };
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => Hint::Unknown,
        ResetHint::Reset => Hint::Yes,
        ResetHint::NotReset => Hint::No,
        ResetHint::Gauge => Hint::Gauge,
    };
    prompb::Histogram {
        sum: histogram.sum,
        schema: histogram.schema.number(),
        zero_threshold: histogram.zero_threshold,
        negative_spans: spans(histogram.negative.spans()),
        positive_spans: spans(histogram.positive.spans()),
        reset_hint: hint as i32,
        timestamp,
        custom_values: match &histogram.schema {
            Schema::Custom(bounds) => bounds.to_vec(),
            Schema::Exponential(_) => Vec::new(),
        },
        ..prompb::Histogram::default()
    }
}

/// Each count by its distance from the one before.
fn deltas(buckets: &Buckets<u64>) -> Vec<i64> {
    let counts = buckets.counts();
    let before = std::iter::once(&0).chain(counts);
    counts.iter().zip(before).map(|(count, before)| count.wrapping_sub(*before).cast_signed()).collect()
}
