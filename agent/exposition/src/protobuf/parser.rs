//! Walks a page, family by family and metric by metric.

use model::histogram::{AnyHistogram, ResetHint};
use model::{BUCKET_LABEL, MetricType};

use super::encoding::{Bytes, Fields};
use super::histogram::{Numbers, PART};
use super::messages::{Family, METRIC, Metric, Part, Simple};
use super::series::{ProtobufHistogram, ProtobufName, ProtobufSeries};
use crate::error::ProtobufError;

type Result<T> = std::result::Result<T, ProtobufError>;

/// Which form of a histogram a page gives. A histogram of one form only comes in that form, except that
/// without native ones every histogram comes in the classic form, if only with its `+Inf` bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HistogramForms {
    /// Native ones are not wanted (`scrape_native_histograms: false`).
    #[default]
    Classic,
    /// The native form of those that have both.
    Native,
    /// Both forms of those that have both (`always_scrape_classic_histograms: true`).
    Both,
}

/// What a page says, piece by piece.
#[derive(Clone, Debug)]
pub enum ProtobufEntry<'a> {
    /// A sample of a float.
    Series(ProtobufSeries<'a>),
    /// A sample of a native histogram.
    Histogram(Box<ProtobufHistogram<'a>>),
    /// A family's help text, where it has one.
    Help {
        /// The family.
        family: &'a str,
        /// The text.
        help: &'a str,
    },
    /// A family's type.
    Type {
        /// The family.
        family: &'a str,
        /// Its type.
        metric_type: MetricType,
    },
    /// A family's unit, where it has one.
    Unit {
        /// The family.
        family: &'a str,
        /// Its unit.
        unit: &'a str,
    },
}

/// An iterator over a page's entries: of each family that has metrics its help, unit and type, then its
/// samples. It ends after the first error.
pub struct ProtobufParser<'a> {
    rest: Bytes<'a>,
    forms: HistogramForms,
    family: Option<Family<'a>>,
    stage: Stage,
    metrics: Fields<'a>,
    series: Option<Expansion<'a>>,
    failed: bool,
}

/// What comes next of a family.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Help,
    Unit,
    Type,
    Metrics,
}

/// The series of a summary or classic histogram that are still to come.
struct Expansion<'a> {
    name: ProtobufName<'a>,
    timestamp: Option<i64>,
    numbers: Numbers<'a>,
    buckets: bool,
    step: Step,
    parts: Fields<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Count,
    Sum,
    Parts,
    Done,
}

impl<'a> ProtobufParser<'a> {
    /// A parser at the start of a page.
    #[must_use]
    pub fn new(page: &'a [u8], forms: HistogramForms) -> Self {
        let nothing = Bytes { bytes: &[], offset: 0 };
        Self {
            rest: Bytes { bytes: page, offset: 0 },
            forms,
            family: None,
            stage: Stage::Help,
            metrics: nothing.fields(),
            series: None,
            failed: false,
        }
    }

    fn entry(&mut self) -> Result<Option<ProtobufEntry<'a>>> {
        loop {
            if let Some(expansion) = &mut self.series {
                match expansion.next()? {
                    Some(series) => return Ok(Some(ProtobufEntry::Series(series))),
                    None => self.series = None,
                }
            }
            let Some(family) = self.family else {
                if self.rest.bytes.is_empty() {
                    return Ok(None);
                }
                let family = Family::read(self.rest.piece()?)?;
                if family.has_metrics {
                    (self.family, self.stage, self.metrics) =
                        (Some(family), Stage::Help, family.body.fields());
                }
                continue;
            };
            if let Some(entry) = self.head(&family) {
                return Ok(Some(entry));
            }
            let Some(field) = self.metrics.next().transpose()? else {
                self.family = None;
                continue;
            };
            if field.number == METRIC
                && let Some(entry) =
                    self.metric(&family, Metric::read(field.piece()?, family.metric_type)?)?
            {
                return Ok(Some(entry));
            }
        }
    }

    /// The next thing that is said before a family's samples.
    fn head(&mut self, family: &Family<'a>) -> Option<ProtobufEntry<'a>> {
        let name = family.name;
        loop {
            match self.stage {
                Stage::Help => {
                    self.stage = Stage::Unit;
                    if !family.help.is_empty() {
                        return Some(ProtobufEntry::Help { family: name, help: family.help });
                    }
                }
                Stage::Unit => {
                    self.stage = Stage::Type;
                    if !family.unit.is_empty() {
                        return Some(ProtobufEntry::Unit { family: name, unit: family.unit });
                    }
                }
                Stage::Type => {
                    self.stage = Stage::Metrics;
                    return Some(ProtobufEntry::Type { family: name, metric_type: family.metric_type });
                }
                Stage::Metrics => return None,
            }
        }
    }

    /// The first entry of a metric; `None` where all of them come from the expansion.
    fn metric(&mut self, family: &Family<'a>, metric: Metric<'a>) -> Result<Option<ProtobufEntry<'a>>> {
        let (pairs, timestamp) = (metric.labels, metric.timestamp);
        let name = ProtobufName { family: family.name, suffix: "", pairs, bound: None };
        let buckets = match family.metric_type {
            MetricType::Histogram | MetricType::GaugeHistogram => true,
            MetricType::Summary => false,
            metric_type => {
                let Simple { value, exemplar, created } =
                    Simple::read(metric.value, metric_type == MetricType::Counter)?;
                let series = ProtobufSeries { name, value, timestamp, created, exemplar };
                return Ok(Some(ProtobufEntry::Series(series)));
            }
        };
        let numbers =
            if buckets { Numbers::of_histogram(metric.value)? } else { Numbers::of_summary(metric.value)? };
        let native = buckets && self.forms != HistogramForms::Classic && numbers.is_native();
        if !native || (self.forms == HistogramForms::Both && numbers.has_parts) {
            let parts = numbers.body.fields();
            self.series = Some(Expansion { name, timestamp, numbers, buckets, step: Step::Count, parts });
        }
        if !native {
            return Ok(None);
        }
        let mut histogram = numbers.native()?;
        if family.metric_type == MetricType::GaugeHistogram {
            match &mut histogram {
                AnyHistogram::Integer(histogram) => histogram.reset_hint = ResetHint::Gauge,
                AnyHistogram::Float(histogram) => histogram.reset_hint = ResetHint::Gauge,
            }
        }
        let (created, body) = (numbers.created, numbers.body);
        let sample = ProtobufHistogram { name, histogram, timestamp, created, body };
        Ok(Some(ProtobufEntry::Histogram(Box::new(sample))))
    }
}

impl<'a> Expansion<'a> {
    fn next(&mut self) -> Result<Option<ProtobufSeries<'a>>> {
        match self.step {
            Step::Count => {
                self.step = Step::Sum;
                Ok(Some(self.series("_count", None, self.numbers.total())))
            }
            Step::Sum => {
                self.step = if self.buckets || self.numbers.has_parts { Step::Parts } else { Step::Done };
                Ok(Some(self.series("_sum", None, self.numbers.sum)))
            }
            Step::Parts => self.part(),
            Step::Done => Ok(None),
        }
    }

    fn part(&mut self) -> Result<Option<ProtobufSeries<'a>>> {
        while let Some(field) = self.parts.next().transpose()? {
            if field.number != PART {
                continue;
            }
            let piece = field.piece()?;
            if !self.buckets {
                let part = Part::quantile(piece)?;
                return Ok(Some(self.series("", Some(("quantile", part.bound)), part.value)));
            }
            let part = Part::bucket(piece)?;
            if part.bound == f64::INFINITY {
                self.step = Step::Done;
            }
            let series = self.series("_bucket", Some((BUCKET_LABEL, part.bound)), part.value);
            return Ok(Some(ProtobufSeries { exemplar: part.exemplar, ..series }));
        }
        self.step = Step::Done;
        // The last bucket may be left out.
        let infinity = Some((BUCKET_LABEL, f64::INFINITY));
        Ok(self.buckets.then(|| self.series("_bucket", infinity, self.numbers.total())))
    }

    fn series(
        &self,
        suffix: &'static str,
        bound: Option<(&'static str, f64)>,
        value: f64,
    ) -> ProtobufSeries<'a> {
        let name = ProtobufName { suffix, bound, ..self.name };
        let (timestamp, created) = (self.timestamp, self.numbers.created);
        ProtobufSeries { name, value, timestamp, created, exemplar: None }
    }
}

impl<'a> Iterator for ProtobufParser<'a> {
    type Item = Result<ProtobufEntry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.entry();
        self.failed = entry.is_err();
        entry.transpose()
    }
}
