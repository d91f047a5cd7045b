//! Histograms as PromQL's test scripts write them: `{{schema:1 count:3 sum:4.5 buckets:[1 2] offset:-1}}`.

use std::fmt::Write as _;
use std::sync::Arc;

use super::buckets::{Buckets, Span};
use super::error::HistogramError;
use super::schema::{CUSTOM_SCHEMA, Resolution, Schema};
use super::{FloatHistogram, ResetHint};
use crate::float::format_go_float;

/// Buckets that the notation writes for one side: it has no gaps, each bucket between two is written.
const NOTATION_BUCKETS_MAX: i32 = 10_000;

/// A text that is no histogram.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotationError {
    /// The text is not `{{…}}`.
    #[error("a histogram stands between '{{{{' and '}}}}'")]
    Braces,
    /// Not `key:value`, or an unknown key.
    #[error("{0:?} is no key and value of a histogram")]
    Key(String),
    /// The value does not suit the key.
    #[error("{key} has the bad value {value:?}")]
    Value {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A key is there twice.
    #[error("{0} is there twice")]
    Twice(&'static str),
    /// The values make no histogram.
    #[error(transparent)]
    Histogram(#[from] HistogramError),
}

const KEYS: [&str; 11] = [
    "schema",
    "count",
    "sum",
    "z_bucket",
    "z_bucket_w",
    "custom_values",
    "counter_reset_hint",
    "buckets",
    "offset",
    "n_buckets",
    "n_offset",
];

/// The text of each key's value, by its place in [`KEYS`].
struct Values<'a>([Option<&'a str>; KEYS.len()]);

impl<'a> Values<'a> {
    fn read(text: &'a str) -> Result<Self, NotationError> {
        let inner = text.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let mut rest = inner.ok_or(NotationError::Braces)?.trim();
        let mut values = [None; KEYS.len()];
        while !rest.is_empty() {
            let bad = || NotationError::Key(rest.chars().take(30).collect());
            let (key, after) = rest.split_once(':').ok_or_else(bad)?;
            let at = KEYS.iter().position(|known| *known == key).ok_or_else(bad)?;
            let end = if after.starts_with('[') {
                after.find(']').map(|end| end + 1).ok_or_else(bad)?
            } else {
                after.find(char::is_whitespace).unwrap_or(after.len())
            };
            let (value, next) = after.split_at(end);
            if !next.is_empty() && !next.starts_with(char::is_whitespace) {
                return Err(bad());
            }
            if values[at].replace(value).is_some() {
                return Err(NotationError::Twice(KEYS[at]));
            }
            rest = next.trim_start();
        }
        Ok(Self(values))
    }

    fn get(&self, key: &'static str) -> Option<&'a str> {
        let at = KEYS.iter().position(|known| *known == key)?;
        self.0[at]
    }

    fn parse<T>(
        &self,
        key: &'static str,
        missing: T,
        parse: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, NotationError> {
        let Some(value) = self.get(key) else { return Ok(missing) };
        parse(value).ok_or_else(|| NotationError::Value { key, value: value.to_owned() })
    }

    fn number(&self, key: &'static str) -> Result<f64, NotationError> {
        self.parse(key, 0.0, |text| text.parse().ok())
    }

    fn whole(&self, key: &'static str) -> Result<i32, NotationError> {
        self.parse(key, 0, |text| text.parse().ok())
    }

    fn numbers(&self, key: &'static str) -> Result<Vec<f64>, NotationError> {
        self.parse(key, Vec::new(), |text| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.split_whitespace().map(|number| number.parse().ok()).collect()
        })
    }

    fn side(&self, buckets: &'static str, offset: &'static str) -> Result<Buckets<f64>, NotationError> {
        let counts = self.numbers(buckets)?;
        let length = u32::try_from(counts.len()).unwrap_or(u32::MAX);
        Ok(Buckets::new(&[Span { offset: self.whole(offset)?, length }], counts)?)
    }

    fn schema(&self) -> Result<Schema, NotationError> {
        match self.whole("schema")? {
            CUSTOM_SCHEMA => Ok(Schema::Custom(Arc::from(self.numbers("custom_values")?))),
            number => {
                let resolution = Resolution::new(number).ok_or(HistogramError::Schema(number))?;
                if self.get("custom_values").is_some() {
                    let value = "a list although the schema is exponential".to_owned();
                    return Err(NotationError::Value { key: "custom_values", value });
                }
                Ok(Schema::Exponential(resolution))
            }
        }
    }
}

impl FloatHistogram {
    /// Reads the notation of PromQL's test scripts. What is not said is zero; nothing is checked that
    /// [`validate`](Self::validate) checks.
    ///
    /// # Errors
    /// When the text is not in that notation.
    pub fn from_notation(text: &str) -> Result<Self, NotationError> {
        let values = Values::read(text)?;
        let reset_hint = values.parse("counter_reset_hint", ResetHint::Unknown, |word| {
            Some(match word {
                "unknown" => ResetHint::Unknown,
                "reset" => ResetHint::Reset,
                "not_reset" => ResetHint::NotReset,
                "gauge" => ResetHint::Gauge,
                _ => return None,
            })
        })?;
        Ok(Self {
            reset_hint,
            schema: values.schema()?,
            zero_threshold: values.number("z_bucket_w")?,
            zero_count: values.number("z_bucket")?,
            count: values.number("count")?,
            sum: values.number("sum")?,
            positive: values.side("buckets", "offset")?,
            negative: values.side("n_buckets", "n_offset")?,
        })
    }

    /// Writes the notation of PromQL's test scripts, as Prometheus does. `None` where it would have to
    /// write more than 10,000 buckets, because it cannot leave gaps.
    #[must_use]
    pub fn notation(&self) -> Option<String> {
        let mut parts = Vec::new();
        if self.schema.number() != 0 {
            parts.push(format!("schema:{}", self.schema.number()));
        }
        for (key, number) in [
            ("count", self.count),
            ("sum", self.sum),
            ("z_bucket", self.zero_count),
            ("z_bucket_w", self.zero_threshold),
        ] {
            if number != 0.0 {
                parts.push(format!("{key}:{}", format_go_float(number)));
            }
        }
        if let Schema::Custom(bounds) = &self.schema {
            parts.push(format!("custom_values:{}", list(bounds.iter().copied())));
        }
        match self.reset_hint {
            ResetHint::Unknown => {}
            ResetHint::Reset => parts.push("counter_reset_hint:reset".to_owned()),
            ResetHint::NotReset => parts.push("counter_reset_hint:not_reset".to_owned()),
            ResetHint::Gauge => parts.push("counter_reset_hint:gauge".to_owned()),
        }
        write_side(&mut parts, &self.positive, "offset", "buckets")?;
        write_side(&mut parts, &self.negative, "n_offset", "n_buckets")?;
        Some(format!("{{{{{}}}}}", parts.join(" ")))
    }
}

/// Populated buckets and what lies between them.
fn write_side(parts: &mut Vec<String>, side: &Buckets<f64>, offset: &str, key: &str) -> Option<()> {
    let mut populated = side.iter().filter(|(_, count)| *count != 0.0);
    let Some((first, _)) = populated.next() else { return Some(()) };
    let last = populated.next_back().map_or(first, |(last, _)| last);
    if last - first >= NOTATION_BUCKETS_MAX {
        return None;
    }
    if first != 0 {
        parts.push(format!("{offset}:{first}"));
    }
    let mut cells = side.iter().skip_while(|(index, _)| *index < first).peekable();
    let counts =
        (first..=last).map(|index| cells.next_if(|(at, _)| *at == index).map_or(0.0, |(_, count)| count));
    parts.push(format!("{key}:{}", list(counts)));
    Some(())
}

fn list(numbers: impl Iterator<Item = f64>) -> String {
    let mut text = String::from("[");
    for (at, number) in numbers.enumerate() {
        let _ = write!(text, "{}{}", if at > 0 { " " } else { "" }, format_go_float(number));
    }
    text.push(']');
    text
}
