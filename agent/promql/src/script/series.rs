//! Series notation: `metric{a="1"} 1+2x5 _ stale`.

use model::{Labels, stale_nan};

use super::ScriptError;
use crate::parser::parse_series;

/// Values in one line, repetitions expanded.
pub const SERIES_VALUES_MAX: usize = 1_000_000;

/// A series and its values at equal distances; `None` where there is no sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesLine {
    /// What names the series.
    pub labels: Labels,
    /// The values, stale markers among them.
    pub values: Vec<Option<f64>>,
}

fn invalid<T>(message: String) -> Result<T, ScriptError> {
    Err(ScriptError::Invalid(message))
}

/// Reads a line of series notation.
///
/// # Errors
/// When name, labels or values are wrong, or when a value is a native histogram.
pub fn parse_series_line(line: &str) -> Result<SeriesLine, ScriptError> {
    let (series, values) = line.split_at(series_end(line));
    let labels = parse_series(series.trim()).map_err(|error| ScriptError::Invalid(error.to_string()))?;
    Ok(SeriesLine { labels, values: parse_values(values)? })
}

/// Where name and labels end.
fn series_end(line: &str) -> usize {
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

/// Reads values: `1`, `1x3` (four times), `1+2x3` (1 3 5 7), `_`, `_x3`, `stale`.
///
/// # Errors
/// When a value is wrong or a native histogram, or when there are more than [`SERIES_VALUES_MAX`].
pub fn parse_values(text: &str) -> Result<Vec<Option<f64>>, ScriptError> {
    if text.contains("{{") {
        return Err(ScriptError::Unsupported("native histograms"));
    }
    let mut values = Vec::new();
    for item in text.split_whitespace() {
        let room = SERIES_VALUES_MAX - values.len();
        item_values(item, room, &mut values)?;
    }
    Ok(values)
}

fn item_values(item: &str, room: usize, values: &mut Vec<Option<f64>>) -> Result<(), ScriptError> {
    let (value, times) = match item.rsplit_once('x') {
        Some((value, times)) => match times.parse::<usize>() {
            Ok(times) => (value, Some(times)),
            Err(_) => return invalid(format!("invalid repetition in series values: {item}")),
        },
        None => (item, None),
    };
    let count = if value == "_" { times.unwrap_or(1) } else { times.unwrap_or(0).saturating_add(1) };
    if count > room {
        return invalid(format!("more than {SERIES_VALUES_MAX} values in one line"));
    }
    if value == "_" {
        values.extend(std::iter::repeat_n(None, count));
        return Ok(());
    }
    if value == "stale" {
        values.extend(std::iter::repeat_n(Some(stale_nan()), count));
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
        values.push(Some(current));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_expand() {
        let nan = |values: Vec<Option<f64>>| values.iter().map(|v| v.map(f64::to_bits)).collect::<Vec<_>>();
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
            assert_eq!(nan(read.values), nan(values), "{line}");
        }
    }

    #[test]
    fn wrong_lines_say_why() {
        for line in ["a 1y", "a 1+x3", "a 1+2", "a 1x99999999", "{a!=\"1\"} 1", "a x3", "a infinity"] {
            assert!(matches!(parse_series_line(line), Err(ScriptError::Invalid(_))), "{line}");
        }
        assert_eq!(parse_series_line("a {{count:1}}"), Err(ScriptError::Unsupported("native histograms")));
    }
}
