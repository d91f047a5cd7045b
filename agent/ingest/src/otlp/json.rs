//! A request in JSON: protobuf's mapping, but for traces, which are hexadecimal.

use model::{Exemplar, Labels};
use serde_json::Value;

use super::data::{
    Attributes, DEPTH_MAX, Kind, Metric, Point, ReadError, Resource, Room, Scope, Side, Temporality,
    number_of, text_of,
};
use super::protobuf::millis;

/// Bytes of such a request: read, it takes up to sixteen times as much.
pub(super) const BYTES_MAX: usize = 8 << 20;

/// Reads a request.
pub(super) fn read(body: &[u8]) -> Result<Vec<Resource>, ReadError> {
    if body.len() > BYTES_MAX {
        let what =
            format!("{} bytes of JSON, at most {BYTES_MAX}: send protobuf, or smaller ones", body.len());
        return Err(ReadError::Malformed(what));
    }
    let root: Value =
        serde_json::from_slice(body).map_err(|error| ReadError::Malformed(error.to_string()))?;
    let mut room = Room::new();
    list(&root, "resourceMetrics", &mut room, |one, room| {
        Ok(Resource {
            attributes: attributes(&one["resource"], "attributes", room)?,
            scopes: list(one, "scopeMetrics", room, scope)?,
        })
    })
}

fn wrong(name: &str, expected: &str) -> ReadError {
    ReadError::Malformed(format!("{name} is no {expected}"))
}

/// What a list of objects holds.
fn list<T>(
    of: &Value,
    name: &str,
    room: &mut Room,
    mut read: impl FnMut(&Value, &mut Room) -> Result<T, ReadError>,
) -> Result<Vec<T>, ReadError> {
    match &of[name] {
        Value::Null => Ok(Vec::new()),
        Value::Array(entries) => entries
            .iter()
            .map(|entry| {
                room.take()?;
                read(entry, room)
            })
            .collect(),
        _ => Err(wrong(name, "list")),
    }
}

fn text(of: &Value, name: &str) -> Result<String, ReadError> {
    match &of[name] {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(wrong(name, "text")),
    }
}

/// A whole number: a number, or one in quotes, as JSON's own have 53 bits.
fn integer(value: &Value, name: &str) -> Result<i128, ReadError> {
    let found = match value {
        Value::Null => Some(0),
        Value::Number(number) => number.as_i128(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| wrong(name, "whole number"))
}

fn unsigned(of: &Value, name: &str) -> Result<u64, ReadError> {
    u64::try_from(integer(&of[name], name)?).map_err(|_| wrong(name, "number of 64 bits"))
}

fn double(value: &Value, name: &str) -> Result<f64, ReadError> {
    let found = match value {
        Value::Null => Some(0.0),
        Value::Number(number) => number.as_f64(),
        Value::String(text) => match text.as_str() {
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            "NaN" => Some(f64::NAN),
            text => text.parse().ok(),
        },
        _ => None,
    };
    found.ok_or_else(|| wrong(name, "number"))
}

fn attributes(of: &Value, name: &str, room: &mut Room) -> Result<Attributes, ReadError> {
    list(of, name, room, |pair, room| Ok((text(pair, "key")?, text_of(value(&pair["value"], room, 0)?))))
}

/// A value of an attribute; its one key says of what kind it is.
fn value(of: &Value, room: &mut Room, depth: usize) -> Result<Value, ReadError> {
    if depth > DEPTH_MAX {
        return Err(ReadError::TooDeep);
    }
    let Some((kind, content)) = of.as_object().and_then(|object| object.iter().next()) else {
        return Ok(Value::Null);
    };
    Ok(match kind.as_str() {
        "intValue" => {
            let whole = integer(content, kind)?;
            i64::try_from(whole).map_err(|_| wrong(kind, "number of 64 bits"))?.into()
        }
        "doubleValue" => number_of(double(content, kind)?),
        "arrayValue" => list(content, "values", room, |entry, room| value(entry, room, depth + 1))?.into(),
        "kvlistValue" => list(content, "values", room, |pair, room| {
            Ok((text(pair, "key")?, value(&pair["value"], room, depth + 1)?))
        })?
        .into_iter()
        .collect::<serde_json::Map<_, _>>()
        .into(),
        // Texts, truths, and bytes in base64 are what they are in JSON.
        _ => content.clone(),
    })
}

fn scope(of: &Value, room: &mut Room) -> Result<Scope, ReadError> {
    let library = &of["scope"];
    Ok(Scope {
        name: text(library, "name")?,
        version: text(library, "version")?,
        schema_url: text(of, "schemaUrl")?,
        attributes: attributes(library, "attributes", room)?,
        metrics: list(of, "metrics", room, metric)?,
    })
}

fn metric(of: &Value, room: &mut Room) -> Result<Metric, ReadError> {
    let kinds = [
        ("gauge", Kind::Gauge),
        ("sum", Kind::Sum),
        ("histogram", Kind::Histogram),
        ("exponentialHistogram", Kind::Exponential),
        ("summary", Kind::Summary),
    ];
    let found = kinds.into_iter().find(|(name, _)| of[*name].is_object());
    let (name, kind) = found.unwrap_or(("", Kind::Empty));
    let data = &of[name];
    let temporality = match &data["aggregationTemporality"] {
        Value::String(word) if word.ends_with("_DELTA") => Temporality::Delta,
        Value::String(word) if word.ends_with("_CUMULATIVE") => Temporality::Cumulative,
        Value::String(_) => Temporality::Unspecified,
        number => Temporality::of(u64::try_from(integer(number, "aggregationTemporality")?).unwrap_or(0)),
    };
    Ok(Metric {
        name: text(of, "name")?,
        description: text(of, "description")?,
        unit: text(of, "unit")?,
        kind,
        monotonic: data["isMonotonic"].as_bool().unwrap_or(false),
        temporality,
        points: list(data, "dataPoints", room, point)?,
    })
}

fn point(of: &Value, room: &mut Room) -> Result<Point, ReadError> {
    #[allow(clippy::cast_precision_loss, reason = "all values are doubles")]
    let value = match &of["asInt"] {
        Value::Null => double(&of["asDouble"], "asDouble")?,
        whole => integer(whole, "asInt")? as f64,
    };
    let whole = |of: &Value, name: &str| {
        i32::try_from(integer(&of[name], name)?).map_err(|_| wrong(name, "number of 32 bits"))
    };
    let count = |entry: &Value, _: &mut Room| {
        u64::try_from(integer(entry, "bucketCounts")?).map_err(|_| wrong("bucketCounts", "list of counts"))
    };
    let side = |name: &str, room: &mut Room| -> Result<Side, ReadError> {
        let of = &of[name];
        Ok(Side { offset: whole(of, "offset")?, counts: list(of, "bucketCounts", room, count)? })
    };
    Ok(Point {
        attributes: attributes(of, "attributes", room)?,
        start: unsigned(of, "startTimeUnixNano")?,
        time: unsigned(of, "timeUnixNano")?,
        is_missing: unsigned(of, "flags")? & 1 != 0,
        value,
        count: unsigned(of, "count")?,
        sum: if of["sum"].is_null() { None } else { Some(double(&of["sum"], "sum")?) },
        counts: list(of, "bucketCounts", room, count)?,
        bounds: list(of, "explicitBounds", room, |entry, _| double(entry, "explicitBounds"))?,
        scale: whole(of, "scale")?,
        zero_count: unsigned(of, "zeroCount")?,
        zero_threshold: double(&of["zeroThreshold"], "zeroThreshold")?,
        positive: side("positive", room)?,
        negative: side("negative", room)?,
        quantiles: list(of, "quantileValues", room, |entry, _| {
            Ok((double(&entry["quantile"], "quantile")?, double(&entry["value"], "value")?))
        })?,
        exemplars: list(of, "exemplars", room, exemplar)?,
    })
}

fn exemplar(of: &Value, room: &mut Room) -> Result<Exemplar, ReadError> {
    let mut pairs = attributes(of, "filteredAttributes", room)?;
    for (name, label) in [("spanId", "span_id"), ("traceId", "trace_id")] {
        let text = text(of, name)?;
        if !text.is_empty() {
            pairs.push((label.to_owned(), text.to_lowercase()));
        }
    }
    #[allow(clippy::cast_precision_loss, reason = "all values are doubles")]
    let value = match &of["asInt"] {
        Value::Null => double(&of["asDouble"], "asDouble")?,
        whole => integer(whole, "asInt")? as f64,
    };
    let timestamp = Some(millis(unsigned(of, "timeUnixNano")?));
    Ok(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp })
}
