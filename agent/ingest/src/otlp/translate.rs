//! From a request's metrics to series.

use std::collections::BTreeMap;

use model::histogram::AnyHistogram;
use model::{Exemplar, INSTANCE, JOB, Labels, LabelsBuilder, METRIC_NAME, Metadata, MetricType};

use super::data::{Attributes, Kind, Metric, Point, Resource, Scope, Temporality};
use super::histograms::{custom, exponential, or_end};
use super::names::{LabelNames, Strategy, metric_name};
use super::protobuf::millis;

/// Bytes of labels that one request may come to.
const LABEL_BYTES_MAX: usize = 128 << 20;
/// A resource is described anew after so many milliseconds of its points: half of the usual lookback.
const DESCRIBED_EVERY: i64 = 150_000;
/// Times at which one request describes a resource, at most.
const DESCRIBED_MAX: usize = 100;
/// Attributes that name a resource.
const IDENTIFYING: [&str; 3] = ["service.name", "service.namespace", "service.instance.id"];

/// `otlp` of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "they are the configuration's keys")]
pub struct OtlpConfig {
    /// `promote_resource_attributes`: those that become labels of every series.
    pub promoted: Vec<String>,
    /// `promote_all_resource_attributes`.
    pub promotes_all: bool,
    /// `ignore_resource_attributes`: those that then do not.
    pub ignored: Vec<String>,
    /// `translation_strategy`.
    pub strategy: Strategy,
    /// `keep_identifying_resource_attributes`: whether `target_info` has them too.
    pub keeps_identifying: bool,
    /// `convert_histograms_to_nhcb`: whether histograms become native ones with custom bounds.
    pub histograms_to_nhcb: bool,
    /// `promote_scope_metadata`: whether what is known of the library becomes labels.
    pub promotes_scope: bool,
    /// `label_name_underscore_sanitization`.
    pub sanitizes_underscores: bool,
    /// `label_name_preserve_multiple_underscores`.
    pub preserves_underscores: bool,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            promoted: Vec::new(),
            promotes_all: false,
            ignored: Vec::new(),
            strategy: Strategy::default(),
            keeps_identifying: false,
            histograms_to_nhcb: false,
            promotes_scope: false,
            sanitizes_underscores: true,
            preserves_underscores: true,
        }
    }
}

/// One series of a request. Times are milliseconds since the Unix epoch; a start of 0 is not known.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Series {
    pub(super) metadata: Metadata,
    /// Time, start, value.
    pub(super) samples: Vec<(i64, i64, f64)>,
    pub(super) histograms: Vec<(i64, AnyHistogram)>,
    pub(super) exemplars: Vec<Exemplar>,
}

/// What a request comes to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Translated {
    pub(super) series: BTreeMap<Labels, Series>,
    /// What was left out, and why.
    pub(super) left_out: Vec<String>,
    label_bytes: usize,
}

/// The series of a request would take too much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the request's series have over {LABEL_BYTES_MAX} bytes of labels: send smaller ones")]
pub(super) struct TooLarge;

/// Translates a request.
///
/// # Errors
/// When it comes to more than memory is for.
pub(super) fn translate(resources: Vec<Resource>, config: &OtlpConfig) -> Result<Translated, TooLarge> {
    let mut out = Translated::default();
    for resource in resources {
        let common = Common::new(&resource.attributes, config);
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for scope in resource.scopes {
            let of_scope = if config.promotes_scope { scope_labels(&scope, &common) } else { Vec::new() };
            for metric in scope.metrics {
                for point in &metric.points {
                    first = first.min(millis(point.time));
                    last = last.max(millis(point.time));
                }
                out.add(&metric, &common, &of_scope)?;
            }
        }
        if last >= first {
            out.describe(&resource.attributes, &common, (first, last))?;
        }
    }
    Ok(out)
}

/// What every series of a resource has.
struct Common<'a> {
    config: &'a OtlpConfig,
    names: LabelNames,
    job: Option<String>,
    instance: Option<String>,
    promoted: Vec<(&'a str, &'a str)>,
}

impl<'a> Common<'a> {
    fn new(attributes: &'a Attributes, config: &'a OtlpConfig) -> Self {
        let get = |name: &str| {
            attributes
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let job = get("service.name").map(|name| match get("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        });
        let is_promoted = |name: &str| {
            if config.promotes_all {
                !config.ignored.iter().any(|ignored| ignored == name)
            } else {
                config.promoted.iter().any(|promoted| promoted == name)
            }
        };
        let promoted = attributes.iter().filter(|(name, _)| is_promoted(name));
        Self {
            config,
            names: LabelNames {
                strategy: config.strategy,
                sanitizes: config.sanitizes_underscores,
                preserves: config.preserves_underscores,
            },
            job,
            instance: get("service.instance.id").map(str::to_owned),
            promoted: promoted.map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }

    /// Labels out of attributes; the values of those whose names come to the same are joined.
    fn labels<'p>(&self, pairs: impl Iterator<Item = (&'p str, &'p str)>) -> LabelsBuilder {
        let mut sorted: Vec<(&str, &str)> = pairs.collect();
        sorted.sort_unstable();
        let mut out = LabelsBuilder::default();
        for (name, value) in sorted {
            let name = self.names.of(name);
            let joined = out.get(&name).map(|before| format!("{before};{value}"));
            out.set(name, joined.unwrap_or_else(|| value.to_owned()));
        }
        out
    }

    fn identify(&self, out: &mut LabelsBuilder) {
        for (name, value) in [(JOB, &self.job), (INSTANCE, &self.instance)] {
            if let Some(value) = value {
                out.set(name, value.as_str());
            }
        }
    }
}

fn scope_labels(scope: &Scope, common: &Common<'_>) -> Vec<(String, String)> {
    let said = [
        ("otel_scope_name", &scope.name),
        ("otel_scope_version", &scope.version),
        ("otel_scope_schema_url", &scope.schema_url),
    ];
    let named = said.into_iter().map(|(name, value)| (name.to_owned(), value.clone()));
    let others = scope
        .attributes
        .iter()
        .map(|(name, value)| (common.names.of(&format!("otel_scope_{name}")), value.clone()));
    others.chain(named).collect()
}

impl Translated {
    fn leave_out(&mut self, what: String) {
        // The first ones say what is wrong with the sender.
        if self.left_out.len() < 10 {
            self.left_out.push(what);
        }
    }

    fn add(
        &mut self,
        metric: &Metric,
        common: &Common<'_>,
        of_scope: &[(String, String)],
    ) -> Result<(), TooLarge> {
        let counts = matches!(metric.kind, Kind::Histogram | Kind::Exponential)
            || (metric.kind == Kind::Sum && metric.monotonic);
        let is_valid = match metric.kind {
            Kind::Empty => return Ok(()),
            Kind::Gauge | Kind::Summary => true,
            Kind::Sum | Kind::Histogram | Kind::Exponential => metric.temporality == Temporality::Cumulative,
        };
        if !is_valid {
            self.leave_out(format!("invalid temporality and type combination for metric {:?}", metric.name));
            return Ok(());
        }
        let family = metric_name(metric, common.config.strategy);
        let metadata = Metadata {
            metric_type: match metric.kind {
                Kind::Histogram | Kind::Exponential => MetricType::Histogram,
                Kind::Summary => MetricType::Summary,
                _ if counts => MetricType::Counter,
                _ => MetricType::Gauge,
            },
            help: metric.description.as_str().into(),
            unit: metric.unit.as_str().into(),
        };
        for point in &metric.points {
            let pairs = point.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let own: Vec<_> = pairs.collect();
            let promoted = common
                .promoted
                .iter()
                .copied()
                .filter(|(name, _)| own.iter().all(|(known, _)| known != name));
            let mut labels = common.labels(own.iter().copied().chain(promoted));
            for (name, value) in of_scope {
                labels.set(name.as_str(), value.as_str());
            }
            common.identify(&mut labels);
            let start = if counts { millis(point.start) } else { 0 };
            let mut writer = Writer { out: self, labels, family: &family, metadata: &metadata, start, point };
            match metric.kind {
                Kind::Gauge | Kind::Sum | Kind::Empty => writer.number()?,
                Kind::Summary => writer.summary()?,
                Kind::Histogram if common.config.histograms_to_nhcb => writer.native(custom(point))?,
                Kind::Histogram => writer.classic()?,
                Kind::Exponential => writer.native(exponential(point))?,
            }
        }
        Ok(())
    }

    /// Writes `target_info` for a resource that has more to say than its name.
    fn describe(
        &mut self,
        attributes: &Attributes,
        common: &Common<'_>,
        (first, last): (i64, i64),
    ) -> Result<(), TooLarge> {
        let identifies = |name: &str| IDENTIFYING.contains(&name);
        let says = attributes.iter().any(|(name, _)| !identifies(name));
        if !says || (common.job.is_none() && common.instance.is_none()) {
            return Ok(());
        }
        let kept = attributes.iter().filter(|(name, _)| common.config.keeps_identifying || !identifies(name));
        let mut labels = common.labels(kept.map(|(name, value)| (name.as_str(), value.as_str())));
        common.identify(&mut labels);
        labels.set(METRIC_NAME, "target_info");
        let metadata = Metadata {
            metric_type: MetricType::Gauge,
            help: "Target metadata".into(),
            ..Metadata::default()
        };
        let series = self.series(labels.build(), &metadata)?;
        let times = std::iter::successors(Some(first), |time| Some(time + DESCRIBED_EVERY));
        let mut times: Vec<i64> = times.take_while(|time| *time < last).take(DESCRIBED_MAX).collect();
        times.push(last);
        for time in times {
            if series.samples.iter().all(|(known, ..)| *known != time) {
                series.samples.push((time, 0, 1.0));
            }
        }
        Ok(())
    }

    fn series(&mut self, labels: Labels, metadata: &Metadata) -> Result<&mut Series, TooLarge> {
        let entry = self.series.entry(labels);
        if let std::collections::btree_map::Entry::Vacant(vacant) = &entry {
            let bytes = vacant.key().pairs().map(|(name, value)| name.len() + value.len() + 64);
            self.label_bytes += bytes.sum::<usize>();
            if self.label_bytes > LABEL_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        Ok(entry.or_insert_with(|| Series { metadata: metadata.clone(), ..Series::default() }))
    }
}

/// Writes one point's samples.
struct Writer<'a> {
    out: &'a mut Translated,
    labels: LabelsBuilder,
    family: &'a str,
    metadata: &'a Metadata,
    start: i64,
    point: &'a Point,
}

impl Writer<'_> {
    /// The series with an ending, and with one more label.
    fn series(&mut self, ending: &str, more: Option<(&str, &str)>) -> Result<&mut Series, TooLarge> {
        let mut labels = self.labels.clone();
        labels.set(METRIC_NAME, format!("{}{ending}", self.family));
        if let Some((name, value)) = more {
            labels.set(name, value);
        }
        self.out.series(labels.build(), self.metadata)
    }

    fn put(&mut self, ending: &str, more: Option<(&str, &str)>, value: f64) -> Result<(), TooLarge> {
        let (time, start, value) = (millis(self.point.time), self.start, or_end(self.point, value));
        self.series(ending, more)?.samples.push((time, start, value));
        Ok(())
    }

    fn number(&mut self) -> Result<(), TooLarge> {
        self.put("", None, self.point.value)?;
        let exemplars = self.point.exemplars.clone();
        if !exemplars.is_empty() {
            self.series("", None)?.exemplars.extend(exemplars);
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "all values are doubles")]
    fn classic(&mut self) -> Result<(), TooLarge> {
        let point = self.point;
        if let Some(sum) = point.sum {
            self.put("_sum", None, sum)?;
        }
        self.put("_count", None, point.count as f64)?;
        let mut exemplars = point.exemplars.clone();
        exemplars.sort_by(|a, b| a.value.total_cmp(&b.value));
        let mut exemplars = exemplars.into_iter().peekable();
        let mut all = 0_u64;
        for (bound, count) in point.bounds.iter().filter(|bound| bound.is_finite()).zip(&point.counts) {
            all = all.saturating_add(*count);
            let le = model::format_float(*bound);
            self.put("_bucket", Some(("le", &le)), all as f64)?;
            while let Some(one) = exemplars.next_if(|one| one.value <= *bound) {
                self.series("_bucket", Some(("le", &le)))?.exemplars.push(one);
            }
        }
        self.put("_bucket", Some(("le", "+Inf")), point.count as f64)?;
        let rest: Vec<Exemplar> = exemplars.collect();
        if !rest.is_empty() {
            self.series("_bucket", Some(("le", "+Inf")))?.exemplars.extend(rest);
        }
        Ok(())
    }

    fn native(&mut self, histogram: Result<AnyHistogram, String>) -> Result<(), TooLarge> {
        match histogram {
            Ok(histogram) => {
                let (time, exemplars) = (millis(self.point.time), self.point.exemplars.clone());
                let series = self.series("", None)?;
                series.histograms.push((time, histogram));
                series.exemplars.extend(exemplars);
            }
            Err(what) => {
                let family = self.family;
                self.out.leave_out(format!("{family}: {what}"));
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "all values are doubles")]
    fn summary(&mut self) -> Result<(), TooLarge> {
        let point = self.point;
        self.put("_sum", None, point.sum.unwrap_or(0.0))?;
        self.put("_count", None, point.count as f64)?;
        for (quantile, value) in &point.quantiles {
            self.put("", Some(("quantile", &model::format_float(*quantile))), *value)?;
        }
        Ok(())
    }
}
