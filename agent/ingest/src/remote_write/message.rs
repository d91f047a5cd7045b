//! A decoded request: its series and samples as positions in its own bytes.

use model::MetricType;

use super::histogram::Observed;
use super::protobuf::{Content, Fields, Malformed};

/// The version of the protocol, by the message that it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The message's full name.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The version of a message's full name.
    #[must_use]
    pub fn of_message(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.message() == name)
    }
}

/// A request that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("cannot decode the request: {0}")]
    Malformed(#[from] Malformed),
    #[error("over {max} {what} in one request: send smaller ones")]
    TooMany { what: &'static str, max: usize },
}

/// A time and a value's bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    pub(crate) bits: u64,
}

/// Names and values of labels, not looked at yet.
pub(crate) type Pairs<'a> = Vec<(&'a [u8], &'a [u8])>;

/// Where something stands: start and end.
pub(crate) type Span = (u32, u32);

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Names the label set.
    pub(crate) key: u128,
    /// Version 1: bytes of label fields; version 2: positions in [`Decoded::refs`].
    pub(crate) labels: Span,
    /// Whether `labels` are bytes of [`Decoded::scattered`].
    pub(crate) scattered: bool,
    /// Positions in [`Decoded::samples`].
    pub(crate) samples: Span,
    /// Positions in [`Decoded::histograms`].
    pub(crate) histograms: Span,
    /// Positions in [`Decoded::exemplars`].
    pub(crate) exemplars: Span,
    /// Version 2: what is said of the family.
    pub(crate) said: Said,
}

/// An exemplar; its labels are not looked at yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exemplar {
    /// The message's bytes.
    pub(crate) message: Span,
    pub(crate) timestamp: i64,
    pub(crate) bits: u64,
}

/// What a series of version 2 says of its family: texts by position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) metric_type: u64,
    pub(crate) help: u32,
    pub(crate) unit: u32,
}

/// What version 1 says of a family: spans of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Family {
    pub(crate) metric_type: u64,
    pub(crate) name: Span,
    pub(crate) help: Span,
    pub(crate) unit: Span,
}

/// A text of version 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol {
    pub(crate) text: Span,
    pub(crate) hash: u128,
}

/// A decoded request; its memory is used again.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The decompressed request.
    pub(crate) body: Vec<u8>,
    pub(crate) series: Vec<Head>,
    pub(crate) samples: Vec<Sample>,
    /// When those began that say so, by their positions, in order.
    pub(crate) starts: Vec<(u32, i64)>,
    pub(crate) refs: Vec<u32>,
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) families: Vec<Family>,
    pub(crate) histograms: Vec<Observed>,
    pub(crate) exemplars: Vec<Exemplar>,
    /// Buckets that the request may still have.
    pub(crate) buckets_left: usize,
    /// Labels of series whose label fields do not stand side by side.
    pub(crate) scattered: Vec<u8>,
}

impl Decoded {
    /// The starts of some samples.
    pub(crate) fn starts(&self, (first, end): Span) -> &[(u32, i64)] {
        let place = |at: u32| self.starts.partition_point(|(sample, _)| *sample < at);
        if self.starts.is_empty() { &[] } else { &self.starts[place(first)..place(end)] }
    }

    /// Bytes that are kept for the next request.
    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity()
            + self.series.capacity() * size_of::<Head>()
            + self.samples.capacity() * size_of::<Sample>()
            + self.refs.capacity() * size_of::<u32>()
            + self.symbols.capacity() * size_of::<Symbol>()
            + self.families.capacity() * size_of::<Family>()
            + self.scattered.capacity()
            + self.histograms.capacity() * size_of::<Observed>()
            + self.exemplars.capacity() * size_of::<Exemplar>()
    }

    /// The texts of a series' labels in the order in which they were sent, a name and a value each;
    /// none where a position has no text or a value is missing.
    pub(crate) fn pairs(&self, version: Version, head: &Head) -> Option<Pairs<'_>> {
        let (start, end) = (head.labels.0 as usize, head.labels.1 as usize);
        match version {
            Version::V1 => {
                let bytes = if head.scattered { &self.scattered } else { &self.body };
                label_pairs(bytes, (start, end)).ok()
            }
            Version::V2 => {
                let refs = self.refs.get(start..end)?;
                let (pairs, rest) = refs.as_chunks::<2>();
                let pair = |[name, value]: &[u32; 2]| Some((self.symbol(*name)?, self.symbol(*value)?));
                if rest.is_empty() { pairs.iter().map(pair).collect() } else { None }
            }
        }
    }

    /// The texts of an exemplar's labels, as [`Self::pairs`] gives those of a series.
    pub(crate) fn exemplar_pairs(&self, version: Version, exemplar: &Exemplar) -> Option<Pairs<'_>> {
        let range = (exemplar.message.0 as usize, exemplar.message.1 as usize);
        let mut fields = Fields::new(&self.body, range);
        let (mut pairs, mut refs) = (Vec::new(), Vec::new());
        while let Some(field) = fields.next().ok()? {
            match (field.number, version, field.content) {
                (1, Version::V1, _) => pairs.push(label_pair(&self.body, field.range().ok()?).ok()?),
                (1, Version::V2, Content::Varint(text)) => refs.push(text),
                (1, Version::V2, Content::Bytes(start, end)) => {
                    let mut list = Fields::new(&self.body, (start, end));
                    while let Some(text) = list.next_packed().ok()? {
                        refs.push(text);
                    }
                }
                _ => {}
            }
        }
        let symbol = |text: u64| self.symbol(u32::try_from(text).ok()?);
        let (texts, rest) = refs.as_chunks::<2>();
        for [name, value] in texts {
            pairs.push((symbol(*name)?, symbol(*value)?));
        }
        rest.is_empty().then_some(pairs)
    }

    /// Bytes of a series' labels, without looking at them.
    pub(crate) fn label_bytes(&self, version: Version, head: &Head) -> usize {
        let (start, end) = (head.labels.0 as usize, head.labels.1 as usize);
        match version {
            Version::V1 => end - start,
            Version::V2 => {
                self.refs[start..end].iter().filter_map(|&text| self.symbol(text)).map(<[u8]>::len).sum()
            }
        }
    }

    /// Names what is said of a family; 0: nothing.
    #[allow(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(crate) fn said_hash(&self, said: &Said) -> u64 {
        if *said == Said::default() {
            return 0;
        }
        let hash = |text: u32| self.symbols.get(text as usize).map_or(0, |symbol| symbol.hash as u64);
        (hash(said.help) ^ hash(said.unit).rotate_left(7) ^ said.metric_type).max(1)
    }

    /// A text of version 2.
    pub(crate) fn symbol(&self, position: u32) -> Option<&[u8]> {
        self.symbols.get(position as usize).map(|symbol| self.text(symbol.text))
    }

    /// A part of the body.
    pub(crate) fn text(&self, (start, end): Span) -> &[u8] {
        &self.body[start as usize..end as usize]
    }
}

fn label_pairs(bytes: &[u8], range: (usize, usize)) -> Result<Pairs<'_>, Malformed> {
    let mut pairs = Vec::with_capacity(12);
    let mut fields = Fields::new(bytes, range);
    while let Some(field) = fields.next()? {
        pairs.push(label_pair(bytes, field.range()?)?);
    }
    Ok(pairs)
}

fn label_pair(bytes: &[u8], range: (usize, usize)) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value) = ((0, 0), (0, 0));
    let mut label = Fields::new(bytes, range);
    while let Some(part) = label.next()? {
        match part.number {
            1 => name = part.range()?,
            2 => value = part.range()?,
            _ => {}
        }
    }
    Ok((&bytes[name.0..name.1], &bytes[value.0..value.1]))
}

/// The type by its number, the same in both versions; what is not known is unknown.
pub(crate) fn metric_type(number: u64) -> MetricType {
    match number {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::GaugeHistogram,
        5 => MetricType::Summary,
        6 => MetricType::Info,
        7 => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}
