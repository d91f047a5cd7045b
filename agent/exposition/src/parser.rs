//! Walks a page, line by line.

use std::borrow::Cow;

use model::MetricType;

use crate::error::ParseError;
use crate::line::{Cursor, Exemplar, ExemplarLabels, SeriesLine, unescape};
use crate::number::parse_float;

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `text/plain; version=0.0.4`, and 1.0.0, which only adds quoted names.
    Text,
    /// `application/openmetrics-text`, 0.0.1 and 1.0.0.
    OpenMetrics,
}

/// What one line says.
#[derive(Clone, Debug)]
pub enum Entry<'a> {
    /// A sample.
    Series(SeriesLine<'a>),
    /// A family's help text.
    Help {
        /// The family.
        family: Cow<'a, str>,
        /// The text, escapes resolved.
        help: Cow<'a, str>,
    },
    /// A family's type.
    Type {
        /// The family.
        family: Cow<'a, str>,
        /// Its type.
        metric_type: MetricType,
    },
    /// A family's unit (OpenMetrics only).
    Unit {
        /// The family.
        family: Cow<'a, str>,
        /// Its unit.
        unit: &'a str,
    },
}

/// An iterator over a page's entries. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    page: &'a [u8],
    at: usize,
    /// Where the line that was read last begins.
    line_at: usize,
    line: usize,
    format: Format,
    metric_type: MetricType,
    ended: bool,
    failed: bool,
}

impl<'a> Parser<'a> {
    /// A parser at the start of a page.
    #[must_use]
    pub fn new(page: &'a [u8], format: Format) -> Self {
        let metric_type = MetricType::Unknown;
        Self { page, at: 0, line_at: 0, line: 0, format, metric_type, ended: false, failed: false }
    }

    /// The number of the line that was read last, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }

    /// How far the page was read: the first byte of the next line.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    fn next_line(&mut self) -> Option<Result<&'a str, String>> {
        let rest = self.page.get(self.at..).filter(|rest| !rest.is_empty())?;
        self.line += 1;
        self.line_at = self.at;
        let end = memchr::memchr(b'\n', rest);
        self.at += end.map_or(rest.len(), |end| end + 1);
        let bytes = &rest[..end.unwrap_or(rest.len())];
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("invalid UTF-8 after byte {} of the line", error.valid_up_to()));
        if end.is_none() && self.format == Format::OpenMetrics && text != Ok("# EOF") {
            return Some(Err("the page ends within a line: data does not end with # EOF".to_owned()));
        }
        Some(text)
    }

    fn entry(&mut self) -> Result<Option<Entry<'a>>, String> {
        loop {
            let Some(line) = self.next_line() else {
                if self.format == Format::OpenMetrics && !self.ended {
                    self.line += 1;
                    return Err("data does not end with # EOF".to_owned());
                }
                return Ok(None);
            };
            let line = line?;
            if self.ended {
                return Err("unexpected data after # EOF".to_owned());
            }
            let found = match self.format {
                Format::Text => self.text_line(line)?,
                Format::OpenMetrics => self.openmetrics_line(line)?,
            };
            if let Some(Entry::Type { metric_type, .. }) = &found {
                self.metric_type = *metric_type;
            }
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    fn text_line(&self, line: &'a str) -> Result<Option<Entry<'a>>, String> {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut cursor = Cursor::new(line);
        cursor.skip_blanks();
        match cursor.peek() {
            None => Ok(None),
            Some(b'#') => text_comment(cursor),
            Some(_) => {
                let start = cursor.at();
                self.series_line(line, start, cursor).map(Some)
            }
        }
    }

    fn openmetrics_line(&mut self, line: &'a str) -> Result<Option<Entry<'a>>, String> {
        if line == "# EOF" {
            self.ended = true;
            return Ok(None);
        }
        if let Some(rest) = line.strip_prefix("# ") {
            return openmetrics_comment(rest).map(Some);
        }
        self.series_line(line, 0, Cursor::new(line)).map(Some)
    }

    /// A sample, whose series begins at `start` of its line.
    fn series_line(&self, line: &'a str, start: usize, mut cursor: Cursor<'a>) -> Result<Entry<'a>, String> {
        cursor.series(&mut |_, _| {})?;
        let text = &line[start..cursor.at()];
        let (value, value_text) = value(&mut cursor)?;
        let value_at = self.line_at + cursor.at() - value_text.len();
        let (timestamp, exemplar) = after_value(line, &mut cursor, self.format)?;
        Ok(Entry::Series(SeriesLine {
            text,
            value,
            value_text,
            line_at: self.line_at,
            value_at,
            timestamp,
            exemplar,
            metric_type: self.metric_type,
        }))
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Entry<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.entry() {
            Ok(entry) => entry.map(Ok),
            Err(what) => {
                self.failed = true;
                Some(Err(ParseError { line: self.line, what }))
            }
        }
    }
}

/// `# HELP`, `# TYPE`, or a comment that says nothing.
fn text_comment<'a>(mut cursor: Cursor<'a>) -> Result<Option<Entry<'a>>, String> {
    cursor.eat(b'#');
    cursor.skip_blanks();
    let keyword = cursor.word();
    if !matches!(keyword, "HELP" | "TYPE") {
        return Ok(None);
    }
    cursor.skip_blanks();
    let family = family(&mut cursor)?;
    cursor.skip_blanks();
    if keyword == "HELP" {
        return Ok(Some(Entry::Help { family, help: unescape(cursor.rest(), false) }));
    }
    let metric_type = match cursor.rest().trim_end() {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "summary" => MetricType::Summary,
        // The second is no word of this format, but exporters write it.
        "untyped" | "unknown" => MetricType::Unknown,
        _ => return Err(cursor.expected("counter, gauge, histogram, summary or untyped")),
    };
    Ok(Some(Entry::Type { family, metric_type }))
}

/// What follows `# ` in OpenMetrics, which knows no free comments.
fn openmetrics_comment(rest: &str) -> Result<Entry<'_>, String> {
    let mut cursor = Cursor::new(rest);
    let keyword = cursor.word();
    if !matches!(keyword, "HELP" | "TYPE" | "UNIT") {
        return Err(format!("expected HELP, TYPE, UNIT or EOF after '# ', got {keyword:?}"));
    }
    if !cursor.eat(b' ') {
        return Err(cursor.expected("a blank"));
    }
    let family = family(&mut cursor)?;
    let text = if cursor.eat(b' ') { cursor.rest() } else { "" };
    match keyword {
        "HELP" => Ok(Entry::Help { family, help: unescape(text, true) }),
        "UNIT" => {
            let suffixed = family.strip_suffix(text).is_some_and(|front| front.ends_with('_'));
            if !text.is_empty() && !suffixed {
                return Err(format!("unit {text:?} not a suffix of metric {family:?}"));
            }
            Ok(Entry::Unit { family, unit: text })
        }
        _ => {
            let metric_type =
                openmetrics_type(text).ok_or_else(|| format!("invalid metric type {text:?}"))?;
            Ok(Entry::Type { family, metric_type })
        }
    }
}

fn openmetrics_type(word: &str) -> Option<MetricType> {
    Some(match word {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "unknown" => MetricType::Unknown,
        _ => return None,
    })
}

fn family<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, String> {
    let name = if cursor.peek() == Some(b'"') { cursor.quoted()? } else { cursor.bare_name(true).into() };
    let ended = matches!(cursor.peek(), None | Some(b' ' | b'\t'));
    if name.is_empty() || !ended { Err(cursor.expected("a metric name")) } else { Ok(name) }
}

fn value<'a>(cursor: &mut Cursor<'a>) -> Result<(f64, &'a str), String> {
    cursor.skip_blanks();
    let before = *cursor;
    let text = cursor.word();
    parse_float(text).map(|value| (value, text)).ok_or_else(|| before.expected("a value"))
}

/// Reads what follows a value on its line, up to the line's end and without it: gives the timestamp, in
/// milliseconds since the Unix epoch, and the exemplar. For readers who know the line up to there.
///
/// # Errors
/// When the format has no such thing at that place; the text says what was expected.
pub fn parse_after_value(rest: &[u8], format: Format) -> Result<AfterValue<'_>, String> {
    let rest = std::str::from_utf8(rest).map_err(|_| "invalid UTF-8".to_owned())?;
    let rest = if format == Format::Text { rest.strip_suffix('\r').unwrap_or(rest) } else { rest };
    after_value(rest, &mut Cursor::new(rest), format)
}

/// What may follow a value: its time, in milliseconds since the Unix epoch, and an exemplar.
pub type AfterValue<'a> = (Option<i64>, Option<Exemplar<'a>>);

fn after_value<'a>(line: &'a str, cursor: &mut Cursor<'a>, format: Format) -> Result<AfterValue<'a>, String> {
    let found = match format {
        Format::Text => {
            cursor.skip_blanks();
            (cursor.peek().map(|_| text_timestamp(cursor)).transpose()?, None)
        }
        Format::OpenMetrics => {
            let timestamp = openmetrics_timestamp(cursor)?;
            cursor.skip_blanks();
            let marked = cursor.eat(b'#');
            (timestamp, if marked { Some(exemplar(line, cursor)?) } else { None })
        }
    };
    end_of_line(cursor)?;
    Ok(found)
}

fn text_timestamp(cursor: &mut Cursor<'_>) -> Result<i64, String> {
    let before = *cursor;
    cursor.word().parse().map_err(|_| before.expected("a timestamp in milliseconds"))
}

/// Seconds, with or without a fraction.
fn openmetrics_timestamp(cursor: &mut Cursor<'_>) -> Result<Option<i64>, String> {
    let before = *cursor;
    cursor.skip_blanks();
    if matches!(cursor.peek(), None | Some(b'#')) {
        return Ok(None);
    }
    let at = *cursor;
    let seconds = parse_float(cursor.word()).ok_or_else(|| at.expected("a timestamp in seconds"))?;
    let millis = seconds * 1000.0;
    // Beyond 2^53 neighbouring milliseconds are one float.
    if !millis.is_finite() || millis.abs() >= 9_007_199_254_740_992.0 {
        return Err(before.expected("a timestamp in seconds"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "checked above")]
    let millis = millis as i64;
    Ok(Some(millis))
}

fn exemplar<'a>(line: &'a str, cursor: &mut Cursor<'a>) -> Result<Exemplar<'a>, String> {
    cursor.skip_blanks();
    let start = cursor.at();
    if !cursor.eat(b'{') {
        return Err(cursor.expected("'{' of an exemplar"));
    }
    cursor.labels(false, &mut |_, _| {})?;
    let text = &line[start..cursor.at()];
    let (value, _) = value(cursor)?;
    let timestamp = openmetrics_timestamp(cursor)?;
    Ok(Exemplar { labels: ExemplarLabels::Text(text), value, timestamp })
}

fn end_of_line(cursor: &mut Cursor<'_>) -> Result<(), String> {
    cursor.skip_blanks();
    if cursor.peek().is_none() { Ok(()) } else { Err(cursor.expected("the end of the line")) }
}
