//! Reading a page in Prometheus's protobuf format: its numbers as a text page has them, and its native
//! histograms.

use std::sync::Arc;

use exposition::{HistogramForms, ProtobufEntry, ProtobufError, ProtobufParser};
use model::histogram::{AnyHistogram, Resolution, Schema};
use model::{Exemplar, Labels};
use storage::Number;
use xxhash_rust::xxh3::Xxh3;

use crate::config::ScrapeConfig;
use crate::page::{Line, Lines, Meaning, PageError, Reader, Said, exemplar};
use crate::status::Families;

/// A page's samples.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) lines: Lines,
    /// When the counters of lines began, by their positions.
    pub(crate) starts: Vec<(usize, i64)>,
    pub(crate) histograms: Vec<Observed>,
}

/// A native histogram of a page.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) histogram: AnyHistogram,
    /// Its own time, where it counts.
    pub(crate) timestamp: Option<i64>,
    pub(crate) exemplars: Vec<Exemplar>,
}

/// What a page's native histograms are called, and what is said of them.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// After relabelling; none where that dropped the series.
    pub(crate) labels: Option<Labels>,
    pub(crate) metadata: model::Metadata,
    /// Whether it gets a stale marker when it vanishes.
    pub(crate) tracked: bool,
}

fn forms(config: &ScrapeConfig) -> HistogramForms {
    match (config.native_histograms, config.classic_histograms) {
        (false, _) => HistogramForms::Classic,
        (true, false) => HistogramForms::Native,
        (true, true) => HistogramForms::Both,
    }
}

/// Reads all samples. The key names the series in their order, their types and help texts.
pub(crate) fn read(page: &[u8], config: &ScrapeConfig) -> Result<Read, PageError> {
    let (mut samples, mut exemplars, mut histograms) = (Vec::new(), Vec::new(), Vec::new());
    let mut starts = Vec::new();
    let mut hasher = Xxh3::new();
    hasher.update(b"protobuf");
    let end = |hasher: &mut Xxh3, kind: u8| hasher.update(&[0xf8 | kind]);
    for entry in ProtobufParser::new(page, forms(config)) {
        match entry? {
            ProtobufEntry::Series(series) => {
                let timestamp = series.timestamp.filter(|_| config.honor_timestamps);
                series.name.identity(|bytes| hasher.update(bytes));
                end(&mut hasher, u8::from(timestamp.is_some()));
                exemplars.extend(exemplar(series.exemplar.as_ref(), samples.len()));
                starts.extend(series.created.map(|start| (samples.len(), start)));
                let number = Number::from_f64(series.value);
                samples.push(Line { at: 0, value_at: 0, value_len: 0, end: 0, number, timestamp });
            }
            ProtobufEntry::Histogram(found) => {
                let timestamp = found.timestamp.filter(|_| config.honor_timestamps);
                found.name.identity(|bytes| hasher.update(bytes));
                end(&mut hasher, 6 | u8::from(timestamp.is_some()));
                let exemplars = found.exemplars().filter_map(|one| one.to_model().ok()).collect();
                let mut histogram = found.histogram;
                limit(&mut histogram, config)?;
                histograms.push(Observed { histogram, timestamp, exemplars });
            }
            ProtobufEntry::Help { family, help } => {
                hasher.update(family.as_bytes());
                end(&mut hasher, 2);
                hasher.update(help.as_bytes());
                end(&mut hasher, 3);
            }
            ProtobufEntry::Type { family, metric_type } => {
                hasher.update(family.as_bytes());
                end(&mut hasher, 4);
                hasher.update(metric_type.as_str().as_bytes());
                end(&mut hasher, 5);
            }
            ProtobufEntry::Unit { family, unit } => {
                hasher.update(family.as_bytes());
                end(&mut hasher, 4);
                hasher.update(unit.as_bytes());
                end(&mut hasher, 2);
            }
        }
    }
    Ok(Read { lines: Lines { key: hasher.digest128(), samples, exemplars }, starts, histograms })
}

/// Finds out what the samples of a page mean for one target.
pub(crate) fn understand(page: &[u8], config: &ScrapeConfig, target: &Labels) -> Result<Meaning, PageError> {
    let mut reader = Reader::new(config, target);
    let mut families = Families::new();
    let mut current: Arc<str> = "".into();
    let series = |what: String| PageError::Series(what);
    for entry in ProtobufParser::new(page, forms(config)) {
        let (family, said) = match entry? {
            ProtobufEntry::Series(found) => {
                let labels = found.name.labels().map_err(series)?;
                let metadata = families.get(&current).cloned().unwrap_or_default();
                reader.series(&labels, found.timestamp.is_some(), &current, metadata).map_err(series)?;
                continue;
            }
            ProtobufEntry::Histogram(found) => {
                let labels = found.name.labels().map_err(series)?;
                let metadata = families.get(&current).cloned().unwrap_or_default();
                reader.histogram(&labels, found.timestamp.is_some(), metadata).map_err(series)?;
                continue;
            }
            ProtobufEntry::Help { family, help } => (family, Said::Help(help.into())),
            ProtobufEntry::Type { family, metric_type } => (family, Said::Type(metric_type)),
            ProtobufEntry::Unit { family, unit } => (family, Said::Unit(unit.into())),
        };
        if *current != *family {
            current = family.into();
        }
        said.note(families.entry(Arc::clone(&current)).or_default());
    }
    reader.finish(families)
}

/// Makes a histogram as coarse as the job wants it, and as its limit of buckets asks for.
pub(crate) fn limit(histogram: &mut AnyHistogram, config: &ScrapeConfig) -> Result<(), PageError> {
    if histogram.is_stale() {
        return Ok(());
    }
    let number = |histogram: &AnyHistogram| match histogram.schema() {
        Schema::Exponential(resolution) => Some(resolution.number()),
        Schema::Custom(_) => None,
    };
    if let (Some(max), Some(schema)) = (config.native_schema_max, number(histogram))
        && schema > max.number()
    {
        histogram.reduce_resolution(max).map_err(|error| PageError::Series(error.to_string()))?;
    }
    let max = config.native_bucket_limit;
    while max > 0 && histogram.buckets() as u64 > max {
        let coarser = number(histogram).and_then(|schema| Resolution::new(schema - 1));
        let Some(coarser) = coarser else { return Err(PageError::BucketLimit) };
        histogram.reduce_resolution(coarser).map_err(|_| PageError::BucketLimit)?;
    }
    Ok(())
}

impl From<ProtobufError> for PageError {
    fn from(error: ProtobufError) -> Self {
        Self::Protobuf(error)
    }
}
