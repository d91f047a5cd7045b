//! Chunks: runs of one series' samples, as <https://github.com/prometheus/prometheus/blob/main/tsdb/docs/format/chunks.md>
//! describes them.
//!
//! A chunk holds samples of one kind. Those of histograms share one layout, and only the first may follow a
//! counter reset, so [`histograms`] cuts where that changes.

mod bits;
mod histogram;
mod layout;
mod varbit;
mod xor;

use model::{HistogramSample, Sample};

/// Samples in a chunk, as in Prometheus.
pub const SAMPLES_PER_CHUNK: usize = 120;

/// How a chunk's bytes are to be read; the numbers are those of blocks and of remote read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Floats.
    Xor = 1,
    /// Histograms of integers.
    Histogram = 2,
    /// Histograms of floats.
    FloatHistogram = 3,
}

/// An encoded chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// What the bytes are.
    pub encoding: Encoding,
    /// Time of the first sample, in milliseconds since the Unix epoch.
    pub start: i64,
    /// Time of the last sample.
    pub end: i64,
    /// The chunk's data, without length and checksum.
    pub data: Vec<u8>,
}

/// Samples of a chunk.
#[derive(Clone, Debug, PartialEq)]
pub enum Samples {
    /// Numbers.
    Floats(Vec<Sample>),
    /// Histograms.
    Histograms(Vec<HistogramSample>),
}

/// Bytes that are no chunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// The bytes end before the samples do.
    #[error("the chunk of {bytes} bytes ends within sample {sample}")]
    Short {
        /// How long the chunk is.
        bytes: usize,
        /// The sample, counted from 0, that is not whole.
        sample: usize,
    },
    /// A histogram that none can be.
    #[error("sample {sample} of the chunk is no histogram: {why}")]
    Histogram {
        /// Counted from 0.
        sample: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// Chunks of floats, which must be in order of time.
#[must_use]
pub fn floats(samples: &[Sample]) -> Vec<Chunk> {
    samples.chunks(SAMPLES_PER_CHUNK).map(xor::encode).collect()
}

/// Chunks of histograms, which must be in order of time.
#[must_use]
pub fn histograms(samples: &[HistogramSample]) -> Vec<Chunk> {
    histogram::runs(samples).map(histogram::encode).collect()
}

/// The samples of a chunk.
///
/// # Errors
/// When `data` is no such chunk.
pub fn decode(encoding: Encoding, data: &[u8]) -> Result<Samples, ChunkError> {
    match encoding {
        Encoding::Xor => xor::decode(data).map(Samples::Floats),
        Encoding::Histogram => histogram::decode::<u64>(data).map(Samples::Histograms),
        Encoding::FloatHistogram => histogram::decode::<f64>(data).map(Samples::Histograms),
    }
}

#[cfg(test)]
mod tests;
