//! Prometheus's chunks, whatever is in them: what is read is written again as the same samples.

use std::sync::Arc;

use block::chunk::{self, Chunk, Encoding, Samples};
use model::{AnyHistogram, FloatHistogram, HistogramSample, IntegerHistogram, Sample};

/// A chunk behind a byte that tells how it is to be read.
pub(crate) fn chunks(bytes: &[u8]) {
    let Some((kind, data)) = bytes.split_first() else { return };
    let encoding = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram][usize::from(kind % 3)];
    match chunk::decode(encoding, data) {
        Ok(Samples::Floats(samples)) => {
            let again: Vec<Sample> = chunk::floats(&samples).iter().flat_map(floats_of).collect();
            let bits = |samples: &[Sample]| -> Vec<(i64, u64)> {
                samples.iter().map(|sample| (sample.timestamp, sample.value.to_bits())).collect()
            };
            assert_eq!(bits(&again), bits(&samples));
        }
        Ok(Samples::Histograms(samples)) => {
            let again: Vec<HistogramSample> =
                chunk::histograms(&samples).iter().flat_map(histograms_of).collect();
            assert_eq!(again.len(), samples.len());
            for (again, first) in again.iter().zip(&samples) {
                assert_eq!(again.timestamp, first.timestamp);
                assert!(is_same(&again.histogram, &first.histogram), "{first:?} became {again:?}");
            }
        }
        Err(_) => {}
    }
}

fn floats_of(chunk: &Chunk) -> Vec<Sample> {
    match chunk::decode(chunk.encoding, &chunk.data).expect("just written") {
        Samples::Floats(samples) => samples,
        Samples::Histograms(_) => panic!("histograms of floats"),
    }
}

fn histograms_of(chunk: &Chunk) -> Vec<HistogramSample> {
    match chunk::decode(chunk.encoding, &chunk.data).expect("just written") {
        Samples::Histograms(samples) => samples,
        Samples::Floats(_) => panic!("floats of histograms"),
    }
}

fn is_same(one: &AnyHistogram, two: &AnyHistogram) -> bool {
    match (one, two) {
        _ if one.is_stale() => two.is_stale(),
        (AnyHistogram::Integer(one), AnyHistogram::Integer(two)) => shown(one) == shown(two),
        (AnyHistogram::Float(one), AnyHistogram::Float(two)) => shown(one) == shown(two),
        _ => false,
    }
}

/// As text: bounds and thresholds may be NaN, which equals nothing.
fn shown<H: std::fmt::Debug>(histogram: &H) -> String {
    let text = format!("{histogram:?}");
    // Only the first of a chunk tells of a reset.
    text.split_once(", schema").map_or(text.clone(), |(_, rest)| rest.to_owned())
}

/// A chunk of each kind.
pub(crate) fn chunk_seeds() -> Vec<Vec<u8>> {
    let floats: Vec<Sample> =
        (0..40).map(|at| Sample::new(at * 15_000, f64::from(at as u32) / 10.0)).collect();
    let sample = |histogram: AnyHistogram, at: i64| HistogramSample {
        timestamp: at * 15_000,
        histogram: Arc::new(histogram),
    };
    let integers: Vec<_> = (0..9u64)
        .map(|at| {
            let histogram = IntegerHistogram { count: at, zero_count: at, sum: 1.5, ..Default::default() };
            sample(AnyHistogram::Integer(histogram), at as i64)
        })
        .collect();
    let of_floats: Vec<_> = (0..9i32)
        .map(|at| {
            let histogram = FloatHistogram { count: at.into(), sum: 0.1, ..Default::default() };
            sample(AnyHistogram::Float(histogram), at.into())
        })
        .collect();
    let seed = |kind: u8, chunk: Chunk| [vec![kind], chunk.data].concat();
    let floats = chunk::floats(&floats).into_iter().map(|chunk| seed(0, chunk));
    let integers = chunk::histograms(&integers).into_iter().map(|chunk| seed(1, chunk));
    let of_floats = chunk::histograms(&of_floats).into_iter().map(|chunk| seed(2, chunk));
    floats.chain(integers).chain(of_floats).collect()
}
