//! A request's bytes to series and samples: one walk, no allocation per series or label.
//!
//! Everything is checked before anything is appended. Labels stay where they are in the buffer; what
//! names a series is a hash of their bytes (version 1) or of the hashes of the texts (version 2, where
//! positions differ from request to request).

use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::histogram::{BUCKETS_MAX, histogram};
use super::message::{DecodeError, Decoded, Exemplar, Family, Head, Said, Sample, Span, Symbol, Version};
use super::plain;
use super::protobuf::{Content, Field, Fields, Malformed};

/// Samples that one request may have; a list of them stays below 32 MiB.
pub(crate) const SAMPLES_MAX: usize = 1 << 21;
/// Series that one request may have.
pub(crate) const SERIES_MAX: usize = 1 << 19;
/// Histograms that one request may have.
pub(crate) const HISTOGRAMS_MAX: usize = 1 << 17;
/// Exemplars that one request may have.
pub(crate) const EXEMPLARS_MAX: usize = 1 << 19;
/// Families that one request may describe.
pub(crate) const FAMILIES_MAX: usize = 1 << 17;
/// Texts that one request of version 2 may have.
pub(crate) const SYMBOLS_MAX: usize = 1 << 20;
/// References to texts that the labels of one request may have.
pub(crate) const REFS_MAX: usize = 1 << 23;

/// Odd, and otherwise without pattern.
const JOINT: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

impl Decoded {
    /// Reads [`Decoded::body`]. `seed` makes series' keys this process's own.
    ///
    /// # Errors
    /// When the body is no such message, or has too much of something.
    pub(crate) fn decode(&mut self, version: Version, seed: u64) -> Result<(), DecodeError> {
        self.series.clear();
        self.samples.clear();
        self.starts.clear();
        self.refs.clear();
        self.symbols.clear();
        self.families.clear();
        self.scattered.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.buckets_left = BUCKETS_MAX;
        let body = std::mem::take(&mut self.body);
        let decoded = match version {
            Version::V1 => self.walk_1(&body, seed),
            Version::V2 => self.walk_2(&body, seed),
        };
        self.body = body;
        decoded
    }

    fn walk_1(&mut self, body: &[u8], seed: u64) -> Result<(), DecodeError> {
        let mut fields = Fields::new(body, (0, body.len()));
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.series_1(body, field.range()?, seed)?,
                3 => {
                    let family = family(body, field.range()?)?;
                    if self.families.len() == FAMILIES_MAX {
                        return Err(DecodeError::TooMany { what: "metadata", max: FAMILIES_MAX });
                    }
                    self.families.push(family);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A series that is labels and then samples, all of them in the usual form.
    fn plain_1(&mut self, body: &[u8], (start, end): (usize, usize), seed: u64) -> Option<Head> {
        let series = body.get(start..end)?;
        let (mut at, before) = (0, self.samples.len());
        while let Some(length) = plain::label(&series[at..]) {
            at += length;
        }
        let labels = at;
        while at < series.len() {
            let sample = plain::sample(&series[at..]).filter(|_| self.samples.len() < SAMPLES_MAX);
            let Some((sample, length)) = sample else {
                self.samples.truncate(before);
                return None;
            };
            self.samples.push(sample);
            at += length;
        }
        let none = (0, 0);
        Some(Head {
            key: xxh3_128_with_seed(&series[..labels], seed),
            labels: span(start, start + labels),
            scattered: false,
            samples: span(before, self.samples.len()),
            histograms: none,
            exemplars: none,
            said: Said::default(),
        })
    }

    fn series_1(&mut self, body: &[u8], range: (usize, usize), seed: u64) -> Result<(), DecodeError> {
        if let Some(head) = self.plain_1(body, range, seed) {
            return self.push(head);
        }
        let mut fields = Fields::new(body, range);
        let before = self.samples.len();
        let (mut labels, mut parts) = (range.0..range.0, 0);
        let mut scattered = self.scattered.len()..self.scattered.len();
        let (histograms, exemplars) = (self.histograms.len(), self.exemplars.len());
        while let Some(field) = fields.next()? {
            match field.number {
                1 => {
                    check_label(body, field.range()?)?;
                    if parts == 0 {
                        (labels, parts) = (field.at..fields.position(), 1);
                    } else if labels.end == field.at && parts == 1 {
                        labels.end = fields.position();
                    } else {
                        if parts == 1 {
                            self.scattered.extend_from_slice(&body[labels.clone()]);
                        }
                        parts += 1;
                        self.scattered.extend_from_slice(&body[field.at..fields.position()]);
                        scattered.end = self.scattered.len();
                    }
                }
                2 => self.sample(body, field.range()?)?,
                3 => self.exemplar(body, field.range()?)?,
                4 => self.histogram(body, field.range()?)?,
                _ => {}
            }
        }
        let is_scattered = parts > 1;
        let (bytes, place) = if is_scattered { (&self.scattered[..], scattered) } else { (body, labels) };
        let head = Head {
            key: xxh3_128_with_seed(&bytes[place.clone()], seed),
            labels: span(place.start, place.end),
            scattered: is_scattered,
            samples: span(before, self.samples.len()),
            histograms: span(histograms, self.histograms.len()),
            exemplars: span(exemplars, self.exemplars.len()),
            said: Said::default(),
        };
        self.push(head)
    }

    fn walk_2(&mut self, body: &[u8], seed: u64) -> Result<(), DecodeError> {
        // The texts may stand behind the series that use them.
        let mut fields = Fields::new(body, (0, body.len()));
        while let Some(field) = fields.next()? {
            if field.number == 4 {
                let (start, end) = field.range()?;
                if self.symbols.len() == SYMBOLS_MAX {
                    return Err(DecodeError::TooMany { what: "symbols", max: SYMBOLS_MAX });
                }
                let hash = xxh3_128_with_seed(&body[start..end], seed);
                self.symbols.push(Symbol { text: span(start, end), hash });
            }
        }
        let mut fields = Fields::new(body, (0, body.len()));
        while let Some(field) = fields.next()? {
            if field.number == 5 {
                self.series_2(body, field.range()?, seed)?;
            }
        }
        Ok(())
    }

    fn series_2(&mut self, body: &[u8], range: (usize, usize), seed: u64) -> Result<(), DecodeError> {
        let mut fields = Fields::new(body, range);
        let (before, refs) = (self.samples.len(), self.refs.len());
        let (histograms, exemplars) = (self.histograms.len(), self.exemplars.len());
        let (mut said, mut created) = (Said::default(), 0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => self.label_refs(body, &field)?,
                2 => self.sample(body, field.range()?)?,
                3 => self.histogram(body, field.range()?)?,
                4 => self.exemplar(body, field.range()?)?,
                5 => read_said(body, field.range()?, &mut said)?,
                6 => created = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        if created != 0 {
            self.begin_all(before, created);
        }
        let mut key = u128::from(seed);
        for &text in &self.refs[refs..] {
            // A position without a text is found out when the labels are read.
            let hash = self.symbols.get(text as usize).map_or(u128::from(text), |symbol| symbol.hash);
            // The texts' hashes are as good as drawn: joining them takes no more than their order.
            key = (key ^ hash).wrapping_mul(JOINT);
        }
        let head = Head {
            key,
            labels: span(refs, self.refs.len()),
            scattered: false,
            samples: span(before, self.samples.len()),
            histograms: span(histograms, self.histograms.len()),
            exemplars: span(exemplars, self.exemplars.len()),
            said,
        };
        self.push(head)
    }

    /// Samples from a position on that do not say themselves when they began say this.
    fn begin_all(&mut self, from: usize, created: i64) {
        let (from, end) = span(from, self.samples.len());
        let told = self.starts.partition_point(|(sample, _)| *sample < from);
        let mut told = self.starts.split_off(told).into_iter().peekable();
        for at in from..end {
            let own = told.next_if(|(sample, _)| *sample == at);
            self.starts.push(own.unwrap_or((at, created)));
        }
    }

    /// One position, or a packed list of them.
    fn label_refs(&mut self, body: &[u8], field: &Field) -> Result<(), DecodeError> {
        match field.content {
            Content::Varint(value) => self.refs.push(truncate(value)),
            Content::Bytes(start, end) => {
                let mut list = Fields::new(body, (start, end));
                while let Some(value) = list.next_packed()? {
                    self.refs.push(truncate(value));
                }
            }
            _ => return Err(field.wrong().into()),
        }
        if self.refs.len() > REFS_MAX {
            return Err(DecodeError::TooMany { what: "label references", max: REFS_MAX });
        }
        Ok(())
    }

    #[inline]
    fn sample(&mut self, body: &[u8], range: (usize, usize)) -> Result<(), DecodeError> {
        let mut fields = Fields::new(body, range);
        let (mut sample, mut start) = (Sample::default(), 0);
        while let Some(field) = fields.next()? {
            match field.number {
                1 => sample.bits = field.bits()?,
                2 => sample.timestamp = field.varint()?.cast_signed(),
                // Version 1 has no such field.
                3 => start = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        if self.samples.len() == SAMPLES_MAX {
            return Err(DecodeError::TooMany { what: "samples", max: SAMPLES_MAX });
        }
        if start != 0 {
            self.starts.push((truncate(self.samples.len() as u64), start));
        }
        self.samples.push(sample);
        Ok(())
    }

    fn histogram(&mut self, body: &[u8], range: (usize, usize)) -> Result<(), DecodeError> {
        if self.histograms.len() == HISTOGRAMS_MAX {
            return Err(DecodeError::TooMany { what: "histograms", max: HISTOGRAMS_MAX });
        }
        self.histograms.push(histogram(body, range, &mut self.buckets_left)?);
        Ok(())
    }

    fn exemplar(&mut self, body: &[u8], range: (usize, usize)) -> Result<(), DecodeError> {
        let mut exemplar = Exemplar { message: span(range.0, range.1), timestamp: 0, bits: 0 };
        let mut fields = Fields::new(body, range);
        while let Some(field) = fields.next()? {
            match field.number {
                2 => exemplar.bits = field.bits()?,
                3 => exemplar.timestamp = field.varint()?.cast_signed(),
                _ => {}
            }
        }
        if self.exemplars.len() == EXEMPLARS_MAX {
            return Err(DecodeError::TooMany { what: "exemplars", max: EXEMPLARS_MAX });
        }
        self.exemplars.push(exemplar);
        Ok(())
    }

    /// Keeps a series that brings something.
    fn push(&mut self, head: Head) -> Result<(), DecodeError> {
        if [head.samples, head.histograms, head.exemplars].iter().all(|(start, end)| start == end) {
            return Ok(());
        }
        if self.series.len() == SERIES_MAX {
            return Err(DecodeError::TooMany { what: "series", max: SERIES_MAX });
        }
        self.series.push(head);
        Ok(())
    }
}

fn span(start: usize, end: usize) -> Span {
    // The body has at most 32 MiB, and each of the lists a limit below that.
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

/// What protobuf does with a number that is wider than its field.
#[allow(clippy::cast_possible_truncation, reason = "that is what it does")]
fn truncate(value: u64) -> u32 {
    value as u32
}

fn check_label(body: &[u8], range: (usize, usize)) -> Result<(), Malformed> {
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        if matches!(field.number, 1 | 2) {
            field.range()?;
        }
    }
    Ok(())
}

fn family(body: &[u8], range: (usize, usize)) -> Result<Family, Malformed> {
    let mut family = Family::default();
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        let text = |field: &Field| field.range().map(|(start, end)| span(start, end));
        match field.number {
            1 => family.metric_type = field.varint()?,
            2 => family.name = text(&field)?,
            4 => family.help = text(&field)?,
            5 => family.unit = text(&field)?,
            _ => {}
        }
    }
    Ok(family)
}

fn read_said(body: &[u8], range: (usize, usize), said: &mut Said) -> Result<(), Malformed> {
    let mut fields = Fields::new(body, range);
    while let Some(field) = fields.next()? {
        match field.number {
            1 => said.metric_type = field.varint()?,
            3 => said.help = truncate(field.varint()?),
            4 => said.unit = truncate(field.varint()?),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tests/decode.rs"]
mod tests;
