//! A request in protobuf.

use model::{Exemplar, Labels};
use serde_json::Value;

use super::data::{
    Attributes, DEPTH_MAX, Kind, Metric, Point, ReadError, Resource, Room, Scope, Side, Temporality, base64,
    hex, number_of, text_of,
};
use crate::remote_write::protobuf::{Content, Field, Fields, Malformed};

type Range = (usize, usize);

impl From<Malformed> for ReadError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

/// Reads a request.
pub(super) fn read(body: &[u8]) -> Result<Vec<Resource>, ReadError> {
    let mut reader = Reader { body, room: Room::new() };
    let mut all = Vec::new();
    reader.each((0, body.len()), |reader, field| {
        if field.number == 1 {
            all.push(reader.resource(field.range()?)?);
        }
        Ok(())
    })?;
    Ok(all)
}

struct Reader<'a> {
    body: &'a [u8],
    room: Room,
}

impl Reader<'_> {
    /// Calls `f` with each field of a message.
    fn each(
        &mut self,
        range: Range,
        mut f: impl FnMut(&mut Self, &Field) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.room.take()?;
        let mut fields = Fields::new(self.body, range);
        while let Some(field) = fields.next()? {
            f(self, &field)?;
        }
        Ok(())
    }

    fn text(&self, field: &Field) -> Result<String, ReadError> {
        let (start, end) = field.range()?;
        let text = std::str::from_utf8(&self.body[start..end]);
        let text = text.map_err(|_| Malformed { at: start, what: "a text is no UTF-8" })?;
        Ok(text.to_owned())
    }

    fn resource(&mut self, range: Range) -> Result<Resource, ReadError> {
        let mut out = Resource::default();
        self.each(range, |reader, field| {
            match field.number {
                1 => reader.attributes_in(field.range()?, 1, &mut out.attributes)?,
                2 => out.scopes.push(reader.scope(field.range()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// The attributes of a message that has nothing else.
    fn attributes_in(&mut self, range: Range, number: u32, out: &mut Attributes) -> Result<(), ReadError> {
        self.each(range, |reader, field| {
            if field.number == number {
                out.push(reader.attribute(field.range()?)?);
            }
            Ok(())
        })
    }

    fn scope(&mut self, range: Range) -> Result<Scope, ReadError> {
        let mut out = Scope::default();
        self.each(range, |reader, field| {
            match field.number {
                1 => reader.each(field.range()?, |reader, field| {
                    match field.number {
                        1 => out.name = reader.text(field)?,
                        2 => out.version = reader.text(field)?,
                        3 => out.attributes.push(reader.attribute(field.range()?)?),
                        _ => {}
                    }
                    Ok(())
                })?,
                2 => out.metrics.push(reader.metric(field.range()?)?),
                3 => out.schema_url = reader.text(field)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    fn metric(&mut self, range: Range) -> Result<Metric, ReadError> {
        let mut out = Metric::default();
        self.each(range, |reader, field| {
            let texts = [&mut out.name, &mut out.description, &mut out.unit];
            if let Some(text) =
                texts.into_iter().zip(1..).find_map(|(text, at)| (at == field.number).then_some(text))
            {
                *text = reader.text(field)?;
                return Ok(());
            }
            let kind = match field.number {
                5 => Kind::Gauge,
                7 => Kind::Sum,
                9 => Kind::Histogram,
                10 => Kind::Exponential,
                11 => Kind::Summary,
                _ => return Ok(()),
            };
            out.kind = kind;
            reader.each(field.range()?, |reader, field| {
                match field.number {
                    1 => out.points.push(reader.point(kind, field.range()?)?),
                    2 => out.temporality = Temporality::of(field.varint()?),
                    3 => out.monotonic = field.varint()? != 0,
                    _ => {}
                }
                Ok(())
            })
        })?;
        Ok(out)
    }

    fn point(&mut self, kind: Kind, range: Range) -> Result<Point, ReadError> {
        let mut out = Point::default();
        self.each(range, |reader, field| match kind {
            Kind::Histogram => reader.histogram_field(&mut out, field),
            Kind::Exponential => reader.exponential_field(&mut out, field),
            Kind::Summary => reader.summary_field(&mut out, field),
            Kind::Gauge | Kind::Sum | Kind::Empty => reader.number_field(&mut out, field),
        })?;
        Ok(out)
    }

    fn number_field(&mut self, out: &mut Point, field: &Field) -> Result<(), ReadError> {
        match field.number {
            2 => out.start = field.bits()?,
            3 => out.time = field.bits()?,
            4 => out.value = f64::from_bits(field.bits()?),
            5 => out.exemplars.push(self.exemplar(field.range()?)?),
            6 => out.value = whole(field.bits()?),
            7 => out.attributes.push(self.attribute(field.range()?)?),
            8 => out.is_missing = field.varint()? & 1 != 0,
            _ => {}
        }
        Ok(())
    }

    fn histogram_field(&mut self, out: &mut Point, field: &Field) -> Result<(), ReadError> {
        match field.number {
            2 => out.start = field.bits()?,
            3 => out.time = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(f64::from_bits(field.bits()?)),
            6 => self.fixed(field, |bits| out.counts.push(bits))?,
            7 => self.fixed(field, |bits| out.bounds.push(f64::from_bits(bits)))?,
            8 => out.exemplars.push(self.exemplar(field.range()?)?),
            9 => out.attributes.push(self.attribute(field.range()?)?),
            10 => out.is_missing = field.varint()? & 1 != 0,
            _ => {}
        }
        Ok(())
    }

    fn exponential_field(&mut self, out: &mut Point, field: &Field) -> Result<(), ReadError> {
        match field.number {
            1 => out.attributes.push(self.attribute(field.range()?)?),
            2 => out.start = field.bits()?,
            3 => out.time = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(f64::from_bits(field.bits()?)),
            6 => out.scale = zigzag(field.varint()?),
            7 => out.zero_count = field.bits()?,
            8 => out.positive = self.side(field.range()?)?,
            9 => out.negative = self.side(field.range()?)?,
            10 => out.is_missing = field.varint()? & 1 != 0,
            11 => out.exemplars.push(self.exemplar(field.range()?)?),
            14 => out.zero_threshold = f64::from_bits(field.bits()?),
            _ => {}
        }
        Ok(())
    }

    fn summary_field(&mut self, out: &mut Point, field: &Field) -> Result<(), ReadError> {
        match field.number {
            2 => out.start = field.bits()?,
            3 => out.time = field.bits()?,
            4 => out.count = field.bits()?,
            5 => out.sum = Some(f64::from_bits(field.bits()?)),
            6 => {
                let mut quantile = (0.0, 0.0);
                self.each(field.range()?, |_, field| {
                    match field.number {
                        1 => quantile.0 = f64::from_bits(field.bits()?),
                        2 => quantile.1 = f64::from_bits(field.bits()?),
                        _ => {}
                    }
                    Ok(())
                })?;
                out.quantiles.push(quantile);
            }
            7 => out.attributes.push(self.attribute(field.range()?)?),
            8 => out.is_missing = field.varint()? & 1 != 0,
            _ => {}
        }
        Ok(())
    }

    fn side(&mut self, range: Range) -> Result<Side, ReadError> {
        let mut out = Side::default();
        self.each(range, |reader, field| {
            match (field.number, field.content) {
                (1, _) => out.offset = zigzag(field.varint()?),
                (2, Content::Varint(count)) => {
                    reader.room.take()?;
                    out.counts.push(count);
                }
                (2, _) => {
                    let mut list = Fields::new(reader.body, field.range()?);
                    while let Some(count) = list.next_packed()? {
                        reader.room.take()?;
                        out.counts.push(count);
                    }
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(out)
    }

    /// Numbers of eight bytes, packed or one by one.
    fn fixed(&mut self, field: &Field, mut give: impl FnMut(u64)) -> Result<(), ReadError> {
        if let Content::Fixed64(bits) = field.content {
            self.room.take()?;
            give(bits);
            return Ok(());
        }
        let (start, end) = field.range()?;
        let (list, rest) = self.body[start..end].as_chunks::<8>();
        if !rest.is_empty() {
            return Err(Malformed { at: end, what: "the message ends inside a number" }.into());
        }
        for bytes in list {
            self.room.take()?;
            give(u64::from_le_bytes(*bytes));
        }
        Ok(())
    }

    fn exemplar(&mut self, range: Range) -> Result<Exemplar, ReadError> {
        let (mut pairs, mut value, mut time) = (Attributes::new(), 0.0, 0);
        self.each(range, |reader, field| {
            match field.number {
                2 => time = field.bits()?,
                3 => value = f64::from_bits(field.bits()?),
                4 | 5 => {
                    let (start, end) = field.range()?;
                    let name = if field.number == 4 { "span_id" } else { "trace_id" };
                    if start < end {
                        pairs.push((name.to_owned(), hex(&reader.body[start..end])));
                    }
                }
                6 => value = whole(field.bits()?),
                7 => pairs.push(reader.attribute(field.range()?)?),
                _ => {}
            }
            Ok(())
        })?;
        Ok(Exemplar { labels: Labels::from_pairs(pairs), value, timestamp: Some(millis(time)) })
    }

    fn attribute(&mut self, range: Range) -> Result<(String, String), ReadError> {
        let (name, value) = self.pair(range, 0)?;
        Ok((name, text_of(value)))
    }

    fn pair(&mut self, range: Range, depth: usize) -> Result<(String, Value), ReadError> {
        let (mut name, mut value) = (String::new(), Value::Null);
        self.each(range, |reader, field| {
            match field.number {
                1 => name = reader.text(field)?,
                2 => value = reader.value(field.range()?, depth)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok((name, value))
    }

    fn value(&mut self, range: Range, depth: usize) -> Result<Value, ReadError> {
        if depth > DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        let mut out = Value::Null;
        self.each(range, |reader, field| {
            out = match field.number {
                1 => reader.text(field)?.into(),
                2 => (field.varint()? != 0).into(),
                3 => field.varint()?.cast_signed().into(),
                4 => number_of(f64::from_bits(field.bits()?)),
                5 => {
                    let mut list = Vec::new();
                    reader.each(field.range()?, |reader, field| {
                        if field.number == 1 {
                            list.push(reader.value(field.range()?, depth + 1)?);
                        }
                        Ok(())
                    })?;
                    list.into()
                }
                6 => {
                    let mut map = serde_json::Map::new();
                    reader.each(field.range()?, |reader, field| {
                        if field.number == 1 {
                            map.extend([reader.pair(field.range()?, depth + 1)?]);
                        }
                        Ok(())
                    })?;
                    map.into()
                }
                7 => {
                    let (start, end) = field.range()?;
                    base64(&reader.body[start..end]).into()
                }
                _ => return Ok(()),
            };
            Ok(())
        })?;
        Ok(out)
    }
}

/// A whole number as a value.
#[allow(clippy::cast_precision_loss, reason = "all values are doubles")]
fn whole(bits: u64) -> f64 {
    bits.cast_signed() as f64
}

/// Nanoseconds as milliseconds.
pub(super) fn millis(nanos: u64) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}

/// What protobuf does with a number that is wider than its field.
#[allow(clippy::cast_possible_truncation, reason = "that is what it does")]
fn zigzag(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
