//! One line that holds a sample, and the cursor that walks it.

use std::borrow::Cow;

use model::{BUCKET_LABEL, Label, Labels, METRIC_NAME, MetricType};

use crate::number::{format_bound, parse_float};
use crate::protobuf::Pairs;

/// A sample as a page writes it.
#[derive(Clone, Debug)]
pub struct SeriesLine<'a> {
    /// The series as written: name and labels, up to the value.
    pub text: &'a str,
    /// The value.
    pub value: f64,
    /// The value as written.
    pub value_text: &'a str,
    /// Where the line begins, in bytes from the page's start.
    pub line_at: usize,
    /// Where the value begins, in bytes from the page's start.
    pub value_at: usize,
    /// The line's own time, milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// An exemplar (OpenMetrics only).
    pub exemplar: Option<Exemplar<'a>>,
    pub(crate) metric_type: MetricType,
}

/// One observation behind a sample.
#[derive(Clone, Debug)]
pub struct Exemplar<'a> {
    pub(crate) labels: ExemplarLabels<'a>,
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
}

/// An exemplar's labels as the page writes them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ExemplarLabels<'a> {
    /// `{a="b"}`
    Text(&'a str),
    /// Protobuf.
    Pairs(Pairs<'a>),
}

impl Exemplar<'_> {
    /// The exemplar's labels.
    ///
    /// # Errors
    /// When two labels have one name; the text names it.
    pub fn labels(&self) -> Result<Labels, String> {
        match self.labels {
            ExemplarLabels::Text(text) => collect(text, MetricType::Unknown),
            ExemplarLabels::Pairs(pairs) => unique(pairs.collect()),
        }
    }

    /// The exemplar by itself.
    ///
    /// # Errors
    /// When two labels have one name; the text names it.
    pub fn to_model(&self) -> Result<model::Exemplar, String> {
        Ok(model::Exemplar { labels: self.labels()?, value: self.value, timestamp: self.timestamp })
    }
}

impl SeriesLine<'_> {
    /// The series' labels, its name among them. Bounds of buckets and quantiles are spelled as
    /// OpenMetrics spells them, so that one bound is one series whoever wrote it.
    ///
    /// # Errors
    /// When two labels have one name; the text names it.
    pub fn labels(&self) -> Result<Labels, String> {
        collect(self.text, self.metric_type)
    }

    /// The series' name, without building its labels where it stands in front.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self.text.find(['{', ' ', '\t']) {
            Some(0) => Cow::Owned(
                self.labels().map_or_else(|_| String::new(), |labels| labels.metric_name().to_owned()),
            ),
            Some(end) => Cow::Borrowed(&self.text[..end]),
            None => Cow::Borrowed(self.text),
        }
    }
}

fn collect(text: &str, metric_type: MetricType) -> Result<Labels, String> {
    let mut labels: Vec<Label> = Vec::new();
    let mut keep = |name: Cow<'_, str>, value: Cow<'_, str>| {
        let value = match parse_bound(&name, &value, metric_type) {
            Some(bound) => format_bound(bound).into(),
            None => value.into(),
        };
        labels.push(Label { name: name.into(), value });
    };
    Cursor::new(text).series(&mut keep)?;
    unique(labels)
}

/// A set of labels in any order, no two of one name.
pub(crate) fn unique(mut labels: Vec<Label>) -> Result<Labels, String> {
    labels.sort_unstable();
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(format!("label name {:?} is not unique", pair[0].name));
    }
    Ok(labels.into_iter().collect())
}

fn parse_bound(name: &str, value: &str, metric_type: MetricType) -> Option<f64> {
    let bound = match metric_type {
        MetricType::Histogram => name == BUCKET_LABEL,
        MetricType::Summary => name == "quantile",
        _ => false,
    };
    if bound { parse_float(value) } else { None }
}

/// Walks a line; what it refuses it explains.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// Takes a label's name and value.
pub(crate) type Keep<'k> = dyn FnMut(Cow<'_, str>, Cow<'_, str>) + 'k;

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    /// Everything up to a blank or the end.
    pub(crate) fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let end = memchr::memchr2(b' ', b'\t', rest.as_bytes()).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// What was expected, and what is there.
    pub(crate) fn expected(&self, what: &str) -> String {
        match self.rest().chars().next() {
            None => format!("expected {what}, got the end of the line"),
            Some(_) => format!("expected {what}, got {:?}", self.rest().chars().take(20).collect::<String>()),
        }
    }

    /// `name{a="b"}`, `name`, `{"name", a="b"}` or `{a="b"}`.
    pub(crate) fn series(&mut self, keep: &mut Keep<'_>) -> Result<(), String> {
        let bare = self.bare_name(true);
        if !bare.is_empty() {
            keep(METRIC_NAME.into(), bare.into());
        }
        let before = self.at;
        self.skip_blanks();
        if self.eat(b'{') {
            return self.labels(bare.is_empty(), keep);
        }
        self.at = before;
        if bare.is_empty() { Err(self.expected("a metric name")) } else { Ok(()) }
    }

    /// What stands between braces, and the closing one. A quoted name without value is the metric's.
    pub(crate) fn labels(&mut self, mut may_name: bool, keep: &mut Keep<'_>) -> Result<(), String> {
        loop {
            self.skip_blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            let quoted = self.peek() == Some(b'"');
            let name = if quoted { self.quoted()? } else { self.bare_name(false).into() };
            if name.is_empty() {
                return Err(self.expected("a label name or '}'"));
            }
            self.skip_blanks();
            if self.eat(b'=') {
                self.skip_blanks();
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a label value in double quotes"));
                }
                let value = self.quoted()?;
                keep(name, value);
            } else if quoted && may_name {
                may_name = false;
                keep(METRIC_NAME.into(), name);
            } else {
                return Err(self.expected("'='"));
            }
            self.skip_blanks();
            if !self.eat(b',') && self.peek() != Some(b'}') {
                return Err(self.expected("',' or '}'"));
            }
        }
    }

    /// A name that needs no quotes; empty where none stands. Metric names may hold colons.
    pub(crate) fn bare_name(&mut self, colons: bool) -> &'a str {
        let rest = self.rest();
        let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (colons && byte == b':');
        let end = rest
            .bytes()
            .enumerate()
            .find(|&(at, byte)| !letter(byte) && (at == 0 || !byte.is_ascii_digit()))
            .map_or(rest.len(), |(at, _)| at);
        self.at += end;
        &rest[..end]
    }

    /// A text in double quotes with `\\`, `\"` and `\n`; any other backslash stands for itself.
    pub(crate) fn quoted(&mut self) -> Result<Cow<'a, str>, String> {
        let start = self.at;
        self.at += 1;
        let inner = self.rest();
        let mut from = 0;
        loop {
            match memchr::memchr2(b'"', b'\\', &inner.as_bytes()[from..]) {
                None => {
                    self.at = start;
                    return Err(self.expected("a closing '\"'"));
                }
                Some(offset) if inner.as_bytes()[from + offset] == b'"' => {
                    let end = from + offset;
                    self.at += end + 1;
                    return Ok(unescape(&inner[..end], true));
                }
                // The byte after a backslash never closes the text.
                Some(offset) => from = (from + offset + 2).min(inner.len()),
            }
        }
    }
}

/// Resolves `\\` and `\n`, and `\"` where quotes are escaped.
pub(crate) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('\\') => out.push('\\'),
            Some('"') if quotes => out.push('"'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    Cow::Owned(out)
}
