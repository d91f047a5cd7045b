//! Reading a page in full: its lines, and what they mean when that is new.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use exposition::{Entry, Format, ParseError, Parser, ProtobufError, SeriesLine, belongs_to_family};
use model::{Labels, Metadata, MetricType, relabel};
use storage::{Layout, Number, Slot};
use xxhash_rust::xxh3::Xxh3;

use crate::config::ScrapeConfig;
use crate::labels::join;
use crate::limits;
use crate::nhcb::{Classic, Collector, Found};
use crate::number;
use crate::protobuf_page::Named;
use crate::status::Families;

/// A line with a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Where the line begins, in bytes from the page's start.
    pub(crate) at: usize,
    pub(crate) value_at: usize,
    pub(crate) value_len: usize,
    /// Where the next line begins.
    pub(crate) end: usize,
    pub(crate) number: Number,
    /// The line's own time, where it counts.
    pub(crate) timestamp: Option<i64>,
}

/// A page's lines.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Names the lines up to their values, their types and help texts.
    pub(crate) key: u128,
    pub(crate) samples: Vec<Line>,
    /// Exemplars, each with the position of its line among the samples.
    pub(crate) exemplars: Vec<(usize, model::Exemplar)>,
}

/// Where a line's sample goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Relabelling dropped the series.
    Dropped,
    /// The layout and its slot.
    At(u32, u32),
}

/// One layout of a page, before the store knows it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) target: Labels,
    pub(crate) slots: Vec<Slot>,
    /// Whether its series get stale markers when they vanish.
    pub(crate) tracked: bool,
}

/// What the lines of a page mean.
#[derive(Debug)]
pub(crate) struct Meaning {
    /// One for each line.
    pub(crate) places: Vec<Place>,
    pub(crate) drafts: Vec<Draft>,
    pub(crate) families: Arc<Families>,
    /// One for each native histogram.
    pub(crate) histograms: Vec<Named>,
    /// Classic histograms that become native ones.
    pub(crate) classics: Vec<Classic>,
    /// Lines that are taken for nothing but that.
    pub(crate) hidden: usize,
    /// Samples that are left after relabelling.
    pub(crate) kept: usize,
}

/// A page that gives no samples.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Protobuf(ProtobufError),
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
    #[error("sample limit exceeded")]
    SampleLimit { kept: usize },
    #[error("{0}")]
    Series(String),
}

/// Slots of a layout whose series bring their own times: small, because a row is as wide as its layout
/// and every time needs a row.
const TIMED_SLOTS: usize = 64;

/// Reads all lines.
pub(crate) fn read(page: &[u8], format: Format, honor_timestamps: bool) -> Result<Lines, ParseError> {
    let (mut samples, mut exemplars) = (Vec::new(), Vec::new());
    let mut hasher = Xxh3::new();
    let mut text = |kind: u8, text: &str| {
        hasher.update(text.as_bytes());
        // No UTF-8 text holds these bytes.
        hasher.update(&[0xf8 | kind]);
    };
    let mut parser = Parser::new(page, format);
    while let Some(entry) = parser.next() {
        match entry? {
            Entry::Series(line) => {
                let timestamp = line.timestamp.filter(|_| honor_timestamps);
                exemplars.extend(exemplar(line.exemplar.as_ref(), samples.len()));
                text(u8::from(timestamp.is_some()), line.text);
                let value = line.value_text.as_bytes();
                samples.push(Line {
                    at: line.line_at,
                    value_at: line.value_at,
                    value_len: value.len(),
                    end: parser.offset(),
                    // The parser took it for a number already.
                    number: number::parse(value).unwrap_or_else(|| Number::from_f64(line.value)),
                    timestamp,
                });
            }
            Entry::Help { family, help } => {
                text(2, &family);
                text(3, &help);
            }
            Entry::Type { family, metric_type } => {
                text(4, &family);
                text(5, metric_type.as_str());
            }
            Entry::Unit { family, unit } => {
                text(6, &family);
                text(7, unit);
            }
        }
    }
    Ok(Lines { key: hasher.digest128(), samples, exemplars })
}

/// A line's exemplar, where it has one that can be kept.
pub(crate) fn exemplar(
    exemplar: Option<&exposition::Exemplar<'_>>,
    line: usize,
) -> Option<(usize, model::Exemplar)> {
    exemplar?.to_model().ok().map(|exemplar| (line, exemplar))
}

/// Finds out what the lines of a page mean for one target.
pub(crate) fn understand(
    page: &[u8],
    format: Format,
    config: &ScrapeConfig,
    target: &Labels,
) -> Result<Meaning, PageError> {
    let mut reader = Reader::new(config, target);
    let mut families = Families::new();
    let mut current: Arc<str> = "".into();
    let mut parser = Parser::new(page, format);
    while let Some(entry) = parser.next() {
        let (family, said) = match entry? {
            Entry::Series(line) => {
                let metadata = families
                    .get(&current)
                    .filter(|said| belongs_to_family(&line.name(), &current, said.metric_type))
                    .cloned();
                reader
                    .line(&line, &current, metadata.unwrap_or_default())
                    .map_err(|what| PageError::Series(format!("line {}: {what}", parser.line())))?;
                continue;
            }
            Entry::Help { family, help } => (family, Said::Help(help.into())),
            Entry::Type { family, metric_type } => (family, Said::Type(metric_type)),
            Entry::Unit { family, unit } => (family, Said::Unit(unit.into())),
        };
        current = family.into();
        let metadata = families.entry(Arc::clone(&current)).or_default();
        said.note(metadata);
    }
    reader.finish(families)
}

/// What a page says of a family.
pub(crate) enum Said {
    Help(Arc<str>),
    Type(model::MetricType),
    Unit(Arc<str>),
}

impl Said {
    pub(crate) fn note(self, metadata: &mut Metadata) {
        match self {
            Self::Help(help) => metadata.help = help,
            Self::Type(metric_type) => metadata.metric_type = metric_type,
            Self::Unit(unit) => metadata.unit = unit,
        }
    }
}

/// Collects what series mean.
pub(crate) struct Reader<'a> {
    config: &'a ScrapeConfig,
    target: &'a Labels,
    places: Vec<Place>,
    drafts: Vec<Draft>,
    /// The draft that takes further series of a kind.
    open: HashMap<Kind, usize>,
    seen: HashMap<(Labels, bool), Place>,
    histograms: Vec<Named>,
    /// The native histograms as the page names them.
    native: HashSet<Labels>,
    classics: Option<Collector>,
    hidden: usize,
    kept: usize,
}

/// Target labels that a series does not have as they are, and whether it brings its own time.
type Kind = (Vec<Arc<str>>, bool);

impl<'a> Reader<'a> {
    pub(crate) fn new(config: &'a ScrapeConfig, target: &'a Labels) -> Self {
        Self {
            config,
            target,
            places: Vec::new(),
            drafts: Vec::new(),
            open: HashMap::new(),
            seen: HashMap::new(),
            histograms: Vec::new(),
            native: HashSet::new(),
            classics: config.classic_to_nhcb.then(Collector::default),
            hidden: 0,
            kept: 0,
        }
    }

    /// The meaning of the page, if it has no more samples than it may.
    pub(crate) fn finish(mut self, families: Families) -> Result<Meaning, PageError> {
        let found = self.classics.take().map(|classics| classics.finish(&self.native)).unwrap_or_default();
        let mut classics = Vec::with_capacity(found.len());
        for Found { labels, metadata, own_time, lines } in found {
            let named = self.named(&labels, own_time, metadata).map_err(PageError::Series)?;
            classics.push(Classic { named, lines });
        }
        let Self { config, places, drafts, histograms, hidden, kept, .. } = self;
        if config.sample_limit > 0 && kept as u64 > config.sample_limit {
            return Err(PageError::SampleLimit { kept });
        }
        let families = Arc::new(families);
        Ok(Meaning { places, drafts, families, histograms, classics, hidden, kept })
    }

    fn line(&mut self, line: &SeriesLine<'_>, family: &str, metadata: Metadata) -> Result<(), String> {
        self.series(&line.labels()?, line.timestamp.is_some(), family, metadata)
    }

    /// A series' labels as they are kept; none where it is dropped.
    fn labels(&mut self, labels: &Labels) -> Result<Option<Labels>, String> {
        let mut builder = join(labels, self.target, self.config.honor_labels);
        if !relabel::process_builder(&mut builder, &self.config.metric_relabel_configs) {
            return Ok(None);
        }
        let labels = builder.build();
        if labels.is_empty() {
            return Ok(None);
        }
        limits::check(self.config, &labels)?;
        self.kept += 1;
        Ok(Some(labels))
    }

    /// Takes the next native histogram.
    pub(crate) fn histogram(
        &mut self,
        labels: &Labels,
        own_time: bool,
        metadata: Metadata,
    ) -> Result<(), String> {
        let named = self.named(labels, own_time, metadata)?;
        self.histograms.push(named);
        if self.classics.is_some() {
            self.native.insert(labels.clone());
        }
        Ok(())
    }

    fn named(&mut self, labels: &Labels, own_time: bool, metadata: Metadata) -> Result<Named, String> {
        let labels = self.labels(labels)?;
        let timed = own_time && self.config.honor_timestamps;
        let tracked = !timed || self.config.track_timestamps_staleness;
        Ok(Named { labels, metadata, tracked })
    }

    /// Takes the next series of numbers.
    pub(crate) fn series(
        &mut self,
        labels: &Labels,
        own_time: bool,
        family: &str,
        metadata: Metadata,
    ) -> Result<(), String> {
        if let Some(classics) = &mut self.classics
            && metadata.metric_type == MetricType::Histogram
            && classics.take(self.places.len(), labels, family, &metadata, own_time)
            && !self.config.classic_histograms
        {
            self.hidden += 1;
            self.places.push(Place::Dropped);
            return Ok(());
        }
        let Some(labels) = self.labels(labels)? else {
            self.places.push(Place::Dropped);
            return Ok(());
        };
        let timed = own_time && self.config.honor_timestamps;
        let key = (labels, timed);
        let place = match self.seen.get(&key) {
            Some(place) => *place,
            None => {
                let place = self.place(&key.0, timed, metadata)?;
                self.seen.insert(key, place);
                place
            }
        };
        self.places.push(place);
        Ok(())
    }

    /// A new series' place: among those that miss the same target labels.
    fn place(&mut self, labels: &Labels, timed: bool, metadata: Metadata) -> Result<Place, String> {
        let other = |label: &&model::Label| labels.get(&label.name) != Some(&*label.value);
        let missing: Vec<_> = self.target.iter().filter(other).map(|label| Arc::clone(&label.name)).collect();
        let width = if timed { TIMED_SLOTS } else { Layout::SLOTS_MAX };
        let kind = (missing, timed);
        let open = self.open.get(&kind).copied().filter(|at| self.drafts[*at].slots.len() < width);
        let at = open.unwrap_or_else(|| {
            let target = self.target.filtered(|name| !kind.0.iter().any(|missing| **missing == *name));
            let tracked = !timed || self.config.track_timestamps_staleness;
            self.drafts.push(Draft { target, slots: Vec::new(), tracked });
            self.open.insert(kind, self.drafts.len() - 1);
            self.drafts.len() - 1
        });
        let draft = &mut self.drafts[at];
        let labels = labels.filtered(|name| !draft.target.has(name));
        draft.slots.push(Slot::new(labels, metadata));
        let number = |at: usize| u32::try_from(at).map_err(|_| format!("{at} are too many to number"));
        Ok(Place::At(number(at)?, number(draft.slots.len() - 1)?))
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
