//! The walk against the generated decoder, and against bytes that are nothing.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use proto::{remote_write_1 as v1, remote_write_2 as v2};

use super::*;

/// A family's name, type, help and unit.
type Described = (String, u64, String, String);

/// A series as either decoder sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    labels: Vec<(String, String)>,
    samples: Vec<(i64, u64)>,
    /// When samples began that say so, by their positions in the series.
    starts: Vec<(usize, i64)>,
    histograms: usize,
    exemplars: usize,
    /// Type, help and unit; version 2.
    said: (u64, String, String),
}

fn walk(version: Version, body: Vec<u8>) -> Result<(Vec<Seen>, Vec<Described>), DecodeError> {
    let mut decoded = Decoded { body, ..Decoded::default() };
    decoded.decode(version, 7)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let seen = decoded.series.iter().map(|head| {
        let pairs = decoded.pairs(version, head).unwrap_or_default();
        let samples = &decoded.samples[head.samples.0 as usize..head.samples.1 as usize];
        let symbol = |position| text(decoded.symbol(position).unwrap_or_default());
        Seen {
            labels: pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
            samples: samples.iter().map(|sample| (sample.timestamp, sample.bits)).collect(),
            starts: (decoded.starts(head.samples).iter())
                .map(|(sample, start)| ((sample - head.samples.0) as usize, *start))
                .collect(),
            histograms: (head.histograms.1 - head.histograms.0) as usize,
            exemplars: (head.exemplars.1 - head.exemplars.0) as usize,
            said: (head.said.metric_type, symbol(head.said.help), symbol(head.said.unit)),
        }
    });
    let of = |span| text(decoded.text(span));
    let families = decoded
        .families
        .iter()
        .map(|family| (of(family.name), family.metric_type, of(family.help), of(family.unit)));
    Ok((seen.collect(), families.collect()))
}

fn brings_something(seen: &Seen) -> bool {
    !seen.samples.is_empty() || seen.histograms + seen.exemplars > 0
}

fn expected_1(request: &v1::WriteRequest) -> Vec<Seen> {
    let series = request.timeseries.iter().map(|series| Seen {
        labels: series.labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect(),
        samples: series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect(),
        starts: Vec::new(),
        histograms: series.histograms.len(),
        exemplars: series.exemplars.len(),
        said: (0, String::new(), String::new()),
    });
    series.filter(brings_something).collect()
}

fn expected_2(request: &v2::Request) -> Vec<Seen> {
    let symbol = |position: u32| request.symbols.get(position as usize).cloned();
    let series = request.timeseries.iter().map(|series| {
        let pairs = series.labels_refs.chunks(2).map(|pair| match pair {
            [name, value] => Some((symbol(*name)?, symbol(*value)?)),
            _ => None,
        });
        let said = series.metadata.unwrap_or_default();
        let start = |sample: &v2::Sample| match sample.start_timestamp {
            0 => series.created_timestamp,
            own => own,
        };
        let starts = series.samples.iter().map(start).enumerate().filter(|(_, start)| *start != 0);
        Seen {
            starts: starts.collect(),
            labels: pairs.collect::<Option<_>>().unwrap_or_default(),
            samples: series.samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect(),
            histograms: series.histograms.len(),
            exemplars: series.exemplars.len(),
            said: (
                i64::from(said.r#type).cast_unsigned(),
                symbol(said.help_ref).unwrap_or_default(),
                symbol(said.unit_ref).unwrap_or_default(),
            ),
        }
    });
    series.filter(brings_something).collect()
}

fn sample() -> impl Strategy<Value = (i64, f64)> {
    (any::<i64>(), any::<u64>().prop_map(f64::from_bits))
}

prop_compose! {
    fn series_1()(
        labels in vec(("[a-c_]{0,3}", ".{0,4}"), 0..5),
        samples in vec(sample(), 0..4),
        histograms in 0..2_usize,
        exemplars in vec(sample(), 0..2),
    ) -> v1::TimeSeries {
        let label = |(name, value)| v1::Label { name, value };
        let exemplar = |(timestamp, value)| v1::Exemplar { labels: Vec::new(), value, timestamp };
        let histogram = v1::Histogram { sum: 1.5, schema: -3, positive_deltas: vec![1, -2], ..Default::default() };
        v1::TimeSeries {
            labels: labels.into_iter().map(label).collect(),
            samples: samples.into_iter().map(|(timestamp, value)| v1::Sample { value, timestamp }).collect(),
            exemplars: exemplars.into_iter().map(exemplar).collect(),
            histograms: vec![histogram; histograms],
        }
    }
}

prop_compose! {
    fn request_1()(
        timeseries in vec(series_1(), 0..5),
        metadata in vec((0..9_i32, ".{0,4}", ".{0,4}", ".{0,4}"), 0..3),
    ) -> v1::WriteRequest {
        let family = |(r#type, metric_family_name, help, unit)| v1::MetricMetadata { r#type, metric_family_name, help, unit };
        v1::WriteRequest { timeseries, metadata: metadata.into_iter().map(family).collect() }
    }
}

prop_compose! {
    fn series_2()(
        labels_refs in vec(0..9_u32, 0..7),
        samples in vec((sample(), prop_oneof![Just(0), any::<i64>()]), 0..4),
        histograms in 0..2_usize,
        exemplars in vec(sample(), 0..2),
        said in proptest::option::of((0..9_i32, 0..9_u32, 0..9_u32)),
        created_timestamp in prop_oneof![Just(0), any::<i64>()],
    ) -> v2::TimeSeries {
        let exemplar = |(timestamp, value)| v2::Exemplar { labels_refs: vec![1, 2], value, timestamp };
        let metadata = |(r#type, help_ref, unit_ref)| v2::Metadata { r#type, help_ref, unit_ref };
        v2::TimeSeries {
            labels_refs,
            samples: samples
                .into_iter()
                .map(|((timestamp, value), start_timestamp)| v2::Sample { value, timestamp, start_timestamp })
                .collect(),
            exemplars: exemplars.into_iter().map(exemplar).collect(),
            histograms: vec![v2::Histogram { sum: 1.5, timestamp: 3, ..Default::default() }; histograms],
            metadata: said.map(metadata),
            created_timestamp,
        }
    }
}

proptest! {
    #[test]
    fn version_1_reads_as_generated_code_does(request in request_1()) {
        let (seen, families) = walk(Version::V1, request.encode_to_vec()).expect("valid");
        prop_assert_eq!(seen, expected_1(&request));
        let expected: Vec<_> = request
            .metadata
            .iter()
            .map(|said| (
                said.metric_family_name.clone(),
                i64::from(said.r#type).cast_unsigned(),
                said.help.clone(),
                said.unit.clone(),
            ))
            .collect();
        prop_assert_eq!(families, expected);
    }

    #[test]
    fn version_2_reads_as_generated_code_does(
        symbols in vec(".{0,4}", 0..8),
        timeseries in vec(series_2(), 0..5),
    ) {
        let request = v2::Request { symbols, timeseries };
        let (seen, _) = walk(Version::V2, request.encode_to_vec()).expect("valid");
        prop_assert_eq!(seen, expected_2(&request));
    }

    /// Cut, changed and joined requests: what generated code reads, the walk reads alike.
    #[test]
    fn changed_bytes_read_as_generated_code_does(
        parts in vec(request_1(), 1..3),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
        whole: bool,
    ) {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.encode_to_vec()).collect();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if !whole && !bytes.is_empty() {
            bytes.truncate(cut.index(bytes.len()));
        }
        let walked = walk(Version::V1, bytes.clone());
        // Groups are read by generated code and refused by the walk.
        let has_group = matches!(
            walked,
            Err(DecodeError::Malformed(Malformed { what: "a wire type that is not used", .. }))
        );
        if let Ok(request) = v1::WriteRequest::decode(&bytes[..])
            && !has_group
        {
            let (seen, _) = walked.expect("generated code reads it");
            prop_assert_eq!(seen, expected_1(&request));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = walk(Version::V1, bytes.clone());
        let _ = walk(Version::V2, bytes);
    }
}

#[test]
fn labels_apart_name_the_same_series_as_side_by_side() {
    let label = |name: &str| v1::Label { name: name.into(), value: "1".into() };
    let sample = v1::Sample { value: 1.0, timestamp: 2 };
    let part = |labels: Vec<v1::Label>, samples: Vec<v1::Sample>| {
        v1::TimeSeries { labels, samples, ..Default::default() }.encode_to_vec()
    };
    let field = |series: Vec<u8>| {
        let mut bytes = vec![0x0a, u8::try_from(series.len()).expect("short")];
        bytes.extend(series);
        bytes
    };
    let together = field(part(vec![label("a"), label("b")], vec![sample]));
    let apart = [part(vec![label("a")], vec![sample]), part(vec![label("b")], Vec::new())].concat();
    let mut decoded = Decoded { body: [together, field(apart)].concat(), ..Decoded::default() };
    decoded.decode(Version::V1, 1).expect("valid");
    let [one, two] = &decoded.series[..] else { panic!("two series") };
    assert_eq!(one.key, two.key);
    assert_eq!(decoded.pairs(Version::V1, one), decoded.pairs(Version::V1, two));
}

#[test]
fn a_small_request_cannot_ask_for_much_memory() {
    let samples =
        v1::TimeSeries { samples: vec![v1::Sample::default(); SAMPLES_MAX + 1], ..Default::default() };
    let body = v1::WriteRequest { timeseries: vec![samples], metadata: Vec::new() }.encode_to_vec();
    assert!(matches!(walk(Version::V1, body), Err(DecodeError::TooMany { what: "samples", .. })));
    let body = v2::Request { symbols: vec![String::new(); SYMBOLS_MAX + 1], timeseries: Vec::new() };
    let walked = walk(Version::V2, body.encode_to_vec());
    assert!(matches!(walked, Err(DecodeError::TooMany { what: "symbols", .. })));
}
