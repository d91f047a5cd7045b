//! What a protobuf page says of one series.

use std::borrow::Cow;

use model::histogram::AnyHistogram;
use model::{Label, Labels, METRIC_NAME};

use super::encoding::Bytes;
use super::histogram::Numbers;
use super::messages::{Pairs, joined};
use crate::line::{Exemplar, unique};
use crate::number::format_bound;

/// What names a series; its labels are only built when asked for.
#[derive(Clone, Copy, Debug)]
pub struct ProtobufName<'a> {
    pub(super) family: &'a str,
    pub(super) suffix: &'static str,
    pub(super) pairs: Pairs<'a>,
    /// `le` or `quantile`, and its value.
    pub(super) bound: Option<(&'static str, f64)>,
}

impl<'a> ProtobufName<'a> {
    /// The family that the series belongs to.
    #[must_use]
    pub fn family(&self) -> &'a str {
        self.family
    }

    /// The series' name: the family's, with `_count`, `_sum` or `_bucket` where a text page has it.
    #[must_use]
    pub fn name(&self) -> Cow<'a, str> {
        joined(self.family, self.suffix)
    }

    /// The series' labels, its name among them. Bounds are spelled as OpenMetrics spells them.
    ///
    /// # Errors
    /// When two labels have one name; the text names it.
    pub fn labels(&self) -> Result<Labels, String> {
        let mut labels = self.pairs.collect();
        labels.push(Label { name: METRIC_NAME.into(), value: self.name().into() });
        if let Some((name, bound)) = self.bound {
            labels.push(Label { name: name.into(), value: format_bound(bound).into() });
        }
        unique(labels)
    }

    /// Feeds bytes that are the same whenever the page names the series in the same way, for a reader
    /// who keeps what it has built: no labels are built or sorted. Pieces end with a byte that is in no
    /// UTF-8 text.
    pub fn identity(&self, mut feed: impl FnMut(&[u8])) {
        let mut piece = |bytes: &[u8]| {
            feed(bytes);
            feed(&[0xff]);
        };
        piece(self.family.as_bytes());
        piece(self.suffix.as_bytes());
        if let Some((name, bound)) = self.bound {
            piece(name.as_bytes());
            piece(&bound.to_bits().to_le_bytes());
        }
        for (name, value) in self.pairs.iter() {
            piece(name.as_bytes());
            piece(value.as_bytes());
        }
    }
}

/// A sample of a float.
#[derive(Clone, Debug)]
pub struct ProtobufSeries<'a> {
    /// What names the series.
    pub name: ProtobufName<'a>,
    /// The value.
    pub value: f64,
    /// The metric's own time, milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// When the counter, summary or histogram began to count, milliseconds since the Unix epoch.
    pub created: Option<i64>,
    /// An exemplar, of a counter or a bucket.
    pub exemplar: Option<Exemplar<'a>>,
}

/// A sample of a native histogram: valid, compact, a gauge where the family is one.
#[derive(Clone, Debug)]
pub struct ProtobufHistogram<'a> {
    /// What names the series: the family, without a suffix.
    pub name: ProtobufName<'a>,
    /// The histogram.
    pub histogram: AnyHistogram,
    /// The metric's own time, milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// When it began to count, milliseconds since the Unix epoch.
    pub created: Option<i64>,
    pub(super) body: Bytes<'a>,
}

impl<'a> ProtobufHistogram<'a> {
    /// Its exemplars or, where it has none, those of the classic buckets beside it. Each has a time.
    pub fn exemplars(&self) -> impl Iterator<Item = Exemplar<'a>> {
        Numbers::exemplars(self.body)
    }
}
