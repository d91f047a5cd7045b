//! Series notation: `metric{a="1"} 1+2x5 _ stale {{count:3 sum:4 buckets:[1 2]}}x2`.

use std::sync::Arc;

use model::{FloatHistogram, Labels, stale_nan};

use super::ScriptError;
use crate::parser::parse_series;

/// Values in one line, repetitions expanded.
pub const SERIES_VALUES_MAX: usize = 1_000_000;

/// A value of series notation.
#[derive(Clone, Debug, PartialEq)]
pub enum SeriesValue {
    /// A number, or a stale marker.
    Float(f64),
    /// A native histogram, and whether its notation said something about counter resets.
    Histogram(Arc<FloatHistogram>, bool),
}

impl SeriesValue {
    /// The number, where it is one.
    #[must_use]
    pub fn float(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Histogram(..) => None,
        }
    }
}

/// A series and its values at equal distances; `None` where there is no sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    /// What names the series.
    pub labels: Labels,
    /// The values, stale markers among them.
    pub values: Vec<Option<SeriesValue>>,
}

fn invalid<T>(message: String) -> Result<T, ScriptError> {
    Err(ScriptError::Invalid(message))
}

/// Reads a line of series notation.
///
/// # Errors
/// When name, labels or values are wrong.
pub fn parse_series_line(line: &str) -> Result<SeriesLine, ScriptError> {
    let (series, values) = line.split_at(series_end(line));
    let labels = parse_series(series.trim()).map_err(|error| ScriptError::Invalid(error.to_string()))?;
    Ok(SeriesLine { labels, values: parse_values(values)? })
}

/// Where name and labels end.
pub(super) fn series_end(line: &str) -> usize {
    let (mut quote, mut braces, mut escaped) = (None, false, false);
    for (at, c) in line.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"' | '\'') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '\'' | '`' => quote = Some(c),
                '{' => braces = true,
                '}' => return at + 1,
                '@' if !braces => return at,
                c if c.is_whitespace() && !braces => {
                    // Labels may stand apart from the name: `metric {a="1"}`.
                    let rest = line[at..].trim_start();
                    if !rest.starts_with('{') || rest.starts_with("{{") {
                        return at;
                    }
                }
                _ => {}
            },
        }
    }
    line.len()
}

/// Reads values: `1`, `1x3` (four times), `1+2x3` (1 3 5 7), `_`, `_x3`, `stale`; likewise with native
/// histograms in `{{…}}`.
///
/// # Errors
/// When a value is wrong, or when there are more than [`SERIES_VALUES_MAX`].
pub fn parse_values(text: &str) -> Result<Vec<Option<SeriesValue>>, ScriptError> {
    let mut values = Vec::new();
    for item in items(text) {
        let room = SERIES_VALUES_MAX - values.len();
        if item.starts_with("{{") {
            histogram_values(item, room, &mut values)?;
        } else {
            item_values(item, room, &mut values)?;
        }
    }
    Ok(values)
}

/// The text cut at spaces, except inside `{{…}}`.
pub(super) fn items(text: &str) -> Vec<&str> {
    let (mut out, mut start, mut inside) = (Vec::new(), None, false);
    for (at, c) in text.char_indices() {
        if text[at..].starts_with("{{") {
            inside = true;
        } else if text[..at].ends_with("}}") {
            inside = false;
        }
        match start {
            Some(from) if c.is_whitespace() && !inside => {
                out.push(&text[from..at]);
                start = None;
            }
            None if !c.is_whitespace() => start = Some(at),
            _ => {}
        }
    }
    out.extend(start.map(|from| &text[from..]));
    out
}

/// The repetition behind `x`, and what stands before it.
fn repetition(item: &str) -> Result<(&str, Option<usize>), ScriptError> {
    match item.rsplit_once('x') {
        Some((value, times)) => match times.parse::<usize>() {
            Ok(times) => Ok((value, Some(times))),
            Err(_) => invalid(format!("invalid repetition in series values: {item}")),
        },
        None => Ok((item, None)),
    }
}

fn too_many<T>() -> Result<T, ScriptError> {
    invalid(format!("more than {SERIES_VALUES_MAX} values in one line"))
}

fn item_values(item: &str, room: usize, values: &mut Vec<Option<SeriesValue>>) -> Result<(), ScriptError> {
    let (value, times) = repetition(item)?;
    let count = if value == "_" { times.unwrap_or(1) } else { times.unwrap_or(0).saturating_add(1) };
    if count > room {
        return too_many();
    }
    if value == "_" {
        values.extend(std::iter::repeat_n(None, count));
        return Ok(());
    }
    if value == "stale" {
        values.extend(std::iter::repeat_n(Some(SeriesValue::Float(stale_nan())), count));
        return Ok(());
    }
    let bytes = value.as_bytes();
    let sign = |at: &usize| matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E');
    let split = (1..bytes.len()).rev().find(sign);
    let (first, step) = value.split_at(split.unwrap_or(value.len()));
    let (mut current, step) = (number(first)?, if step.is_empty() { 0.0 } else { number(step)? });
    if split.is_some() && times.is_none() {
        return invalid(format!("a step needs a repetition: {item}"));
    }
    for _ in 0..count {
        values.push(Some(SeriesValue::Float(current)));
        current += step;
    }
    Ok(())
}

fn number(text: &str) -> Result<f64, ScriptError> {
    let known = text.trim_start_matches(['+', '-']);
    let word = known.eq_ignore_ascii_case("inf") || known.eq_ignore_ascii_case("nan");
    if (word || known.starts_with(|c: char| c.is_ascii_digit() || c == '.'))
        && let Ok(value) = text.parse()
    {
        return Ok(value);
    }
    invalid(format!("expected number or \"stale\", got {text:?}"))
}

/// `{{…}}`, `{{…}}x3`, `{{…}}+{{…}}x3`, `{{…}}-{{…}}x3`.
fn histogram_values(
    item: &str,
    room: usize,
    values: &mut Vec<Option<SeriesValue>>,
) -> Result<(), ScriptError> {
    let end = |text: &str| text.find("}}").map_or(text.len(), |at| at + 2);
    let read = |text: &str| {
        FloatHistogram::from_notation(text).map_err(|error| ScriptError::Invalid(error.to_string()))
    };
    let (first, rest) = item.split_at(end(item));
    let mut current = read(first)?;
    let mut hinted = first.contains("counter_reset_hint:");
    let sign = rest.chars().next().filter(|c| matches!(c, '+' | '-'));
    let (step, rest) = match sign {
        Some(_) => {
            let (step, rest) = rest[1..].split_at(end(&rest[1..]));
            // The hint that was read last counts for all.
            hinted = step.contains("counter_reset_hint:");
            (Some(read(step)?), rest)
        }
        None => (None, rest),
    };
    let times = match rest.strip_prefix('x') {
        Some(times) => times
            .parse::<usize>()
            .map_err(|_| ScriptError::Invalid(format!("invalid repetition in series values: {item}")))?,
        None if rest.is_empty() && step.is_none() => 0,
        None => return invalid(format!("a step needs a repetition: {item}")),
    };
    if times >= room {
        return too_many();
    }
    values.push(Some(SeriesValue::Histogram(Arc::new(current.clone()), hinted)));
    for _ in 0..times {
        if let Some(step) = &step {
            let next = if sign == Some('-') { current.subtract(step) } else { current.add(step) };
            next.map_err(|error| ScriptError::Invalid(error.to_string()))?;
        }
        values.push(Some(SeriesValue::Histogram(Arc::new(current.clone()), hinted)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_expand() {
        let bits = |values: Vec<Option<SeriesValue>>| {
            values
                .iter()
                .map(|v| v.as_ref().and_then(SeriesValue::float).map(f64::to_bits))
                .collect::<Vec<_>>()
        };
        for (line, labels, values) in [
            ("a 1 2", "a", vec![Some(1.0), Some(2.0)]),
            (
                r#"a{b="} x"} 1x2 _x2 _"#,
                r#"a{b="} x"}"#,
                vec![Some(1.0), Some(1.0), Some(1.0), None, None, None],
            ),
            ("{} 1+2x2 -1-1x1", "{}", vec![Some(1.0), Some(3.0), Some(5.0), Some(-1.0), Some(-2.0)]),
            (
                r#"a {b="1"} 1e-3+1e1x1 -Inf"#,
                r#"a{b="1"}"#,
                vec![Some(0.001), Some(10.001), Some(f64::NEG_INFINITY)],
            ),
            ("a stale", "a", vec![Some(stale_nan())]),
            ("a", "a", vec![]),
        ] {
            let read = parse_series_line(line).expect(line);
            assert_eq!(read.labels.to_string(), labels);
            let wanted: Vec<Option<u64>> = values.iter().map(|v| v.map(f64::to_bits)).collect();
            assert_eq!(bits(read.values), wanted, "{line}");
        }
    }

    #[test]
    fn histograms_expand() {
        let line = "a {{count:1 sum:2 buckets:[1]}}+{{count:2 sum:1 buckets:[1 1]}}x1 _ {{}}x1";
        let read = parse_series_line(line).expect(line);
        let shown: Vec<Option<String>> = read
            .values
            .iter()
            .map(|value| match value {
                Some(SeriesValue::Histogram(histogram, hinted)) => {
                    Some(format!("{} {hinted}", histogram.notation().expect("short")))
                }
                _ => None,
            })
            .collect();
        let one = |text: &str| Some(format!("{{{{{text}}}}} false"));
        let (first, second) = ("count:1 sum:2 buckets:[1]", "count:3 sum:3 buckets:[2 1]");
        assert_eq!(shown, [one(first), one(second), None, one(""), one("")]);
    }

    #[test]
    fn wrong_lines_say_why() {
        for line in [
            "a 1y",
            "a 1+x3",
            "a 1+2",
            "a 1x99999999",
            "{a!=\"1\"} 1",
            "a x3",
            "a infinity",
            "a {{what:1}}",
            "a {{count:1",
            "a {{}}+{{}}",
            "a {{}}xy",
            "a {{}}x99999999",
        ] {
            assert!(matches!(parse_series_line(line), Err(ScriptError::Invalid(_))), "{line}");
        }
    }
}
