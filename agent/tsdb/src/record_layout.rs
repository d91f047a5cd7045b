//! What LAYOUT records hold (FORMAT.md): a target's labels and its slots, columns of histograms among them.

use std::sync::Arc;

use model::{Labels, Metadata, MetricType};
use storage::{HistogramShape, Layout, LayoutId, Part, Slot};

use crate::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};
use crate::record::{labels, put_labels, whole};

/// Types in the order of their numbers in LAYOUT records.
const TYPES: [MetricType; 8] = [
    MetricType::Unknown,
    MetricType::Counter,
    MetricType::Gauge,
    MetricType::Histogram,
    MetricType::GaugeHistogram,
    MetricType::Summary,
    MetricType::Info,
    MetricType::StateSet,
];

/// Set in a slot's type: the first column of a histogram.
const HAS_PART: u8 = 0x80;
/// Set in a slot's type: it holds starts.
const STARTS: u8 = 0x40;
/// Instead of a type: a column that goes on with the histogram before.
const FURTHER: u8 = 0xc0;

pub(crate) fn put_layout(layout: &Layout) -> Vec<u8> {
    put_parts(layout.id(), layout.target(), layout.slots())
}

/// A layout by what it is made of.
pub(crate) fn put_parts(id: LayoutId, target: &Labels, slots: &[Slot]) -> Vec<u8> {
    let mut out = id.0.to_le_bytes().to_vec();
    put_labels(&mut out, target);
    put_varint(&mut out, slots.len() as u64);
    slots.iter().for_each(|slot| put_slot(&mut out, slot));
    out
}

pub(crate) fn put_slot(out: &mut Vec<u8>, slot: &Slot) {
    if !slot.begins_series() {
        return put_further_part(out, slot.part.as_deref());
    }
    put_labels(out, &slot.labels);
    let kind = TYPES.iter().position(|&kind| kind == slot.metadata.metric_type);
    let flag = match slot.part.as_deref() {
        None => 0,
        Some(Part::Start) => STARTS,
        Some(_) => HAS_PART,
    };
    out.push(kind.unwrap_or_default() as u8 | flag);
    put_text(out, &slot.metadata.unit);
    put_text(out, &slot.metadata.help);
    if let Some(Part::Sum(shape)) = slot.part.as_deref() {
        put_shape(out, shape);
    }
}

/// A column that goes on with the histogram before: labels and metadata are those of the slot before.
fn put_further_part(out: &mut Vec<u8>, part: Option<&Part>) {
    let (code, index) = part.map_or((0, 0), Part::code);
    out.extend_from_slice(&[0, FURTHER, code]);
    if Part::is_indexed(code) {
        put_zigzag(out, index.into());
    }
}

fn put_shape(out: &mut Vec<u8>, shape: &HistogramShape) {
    let (integer, schema, bounds) = shape.numbers();
    out.push(u8::from(integer));
    put_zigzag(out, schema.into());
    put_varint(out, bounds.len() as u64);
    for bound in bounds {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
}

pub(crate) fn layout(payload: &[u8]) -> Result<Layout, Malformed> {
    whole(payload, |reader| {
        let id = LayoutId(reader.u128_le()?);
        let target = labels(reader)?;
        let mut slots = Vec::new();
        for _ in 0..reader.count()? {
            let next = slot(reader, slots.last())?;
            slots.push(next);
        }
        let layout = Layout::new(target, slots).map_err(|_| Malformed("an invalid layout"))?;
        if layout.id() == id { Ok(layout) } else { Err(Malformed("a layout under another's id")) }
    })
}

/// Steps over a slot; whether it can be read by itself, as those can that hold no part of a histogram.
pub(crate) fn skip_slot(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    let labels = reader.count()?;
    skip_texts(reader, labels.saturating_mul(2))?;
    let is_plain = reader.byte()? & HAS_PART == 0;
    if is_plain {
        skip_texts(reader, 2)?;
    }
    Ok(is_plain)
}

fn skip_texts(reader: &mut Reader<'_>, count: usize) -> Result<(), Malformed> {
    for _ in 0..count {
        let length = reader.count()?;
        reader.take(length)?;
    }
    Ok(())
}

/// A slot; `before` is the one that stands before it.
pub(crate) fn slot(reader: &mut Reader<'_>, before: Option<&Slot>) -> Result<Slot, Malformed> {
    let labels = labels(reader)?;
    let kind = reader.byte()?;
    if kind == FURTHER && labels.is_empty() {
        let part = further_part(reader)?;
        let before = before.ok_or(Malformed("a histogram without its first column"))?;
        return Ok(Slot { part: Some(Arc::new(part)), ..before.clone() });
    }
    let holds_starts = kind & (HAS_PART | STARTS) == STARTS;
    let known = TYPES.get(usize::from(kind & !if holds_starts { STARTS } else { HAS_PART }));
    let metric_type = *known.ok_or(Malformed("an unknown metric type"))?;
    let (unit, help) = (reader.text()?.into(), reader.text()?.into());
    let part = match kind & HAS_PART {
        0 => holds_starts.then(|| Arc::new(Part::Start)),
        _ => Some(Arc::new(shape(reader)?)),
    };
    Ok(Slot { labels, metadata: Arc::new(Metadata { metric_type, unit, help }), part })
}

fn further_part(reader: &mut Reader<'_>) -> Result<Part, Malformed> {
    let code = reader.byte()?;
    let index = if Part::is_indexed(code) { reader.zigzag()? } else { 0 };
    let index = i32::try_from(index).map_err(|_| Malformed("a bucket index out of range"))?;
    match Part::from_code(code, index) {
        Ok(Part::Start) => Err(Malformed("starts that go on with a histogram")),
        part => part.map_err(|error| Malformed(error.0)),
    }
}

fn shape(reader: &mut Reader<'_>) -> Result<Part, Malformed> {
    let integer = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return Err(Malformed("an unknown kind of histogram")),
    };
    let schema = i32::try_from(reader.zigzag()?).map_err(|_| Malformed("no schema of a histogram"))?;
    let mut bounds = Vec::new();
    for _ in 0..reader.count()? {
        bounds.push(f64::from_bits(reader.u64_le()?));
    }
    let shape = HistogramShape::from_numbers(integer, schema, bounds).map_err(|error| Malformed(error.0))?;
    Ok(Part::Sum(Arc::new(shape)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::Counted;

    use super::*;

    /// Integers with two sides, floats with custom bounds, and a series without labels, type and unit between.
    fn histogram_layout() -> Layout {
        let slots = |name: &'static str, shape: HistogramShape, more: Vec<Part>| {
            let metadata = Metadata { metric_type: MetricType::Histogram, ..Metadata::default() };
            let slot = Slot::new(Labels::from_pairs([("__name__", name)]), metadata);
            let parts = std::iter::once(Part::Sum(Arc::new(shape))).chain(more);
            parts.map(move |part| Slot { part: Some(Arc::new(part)), ..slot.clone() })
        };
        let shape = |integer, schema, bounds: &[f64]| {
            HistogramShape::from_numbers(integer, schema, bounds.to_vec()).expect("valid")
        };
        let count = |index| [Part::Count(Counted::Negative(index)), Part::Count(Counted::Positive(index))];
        let [below, above] = count(-3);
        let more = vec![Part::Hint, Part::ZeroThreshold, Part::Count(Counted::All), below, above];
        let high = vec![Part::Count(Counted::Zero), Part::High(Counted::Positive(1 << 30))];
        let all = slots("a", shape(true, -4, &[]), more)
            .chain([Slot::new(Labels::empty(), Metadata::default()), Slot::of_starts(Labels::empty())])
            .chain(slots("b", shape(false, -53, &[-0.0, 1.5]), high));
        Layout::new(Labels::from_pairs([("job", "n")]), all.collect()).expect("valid")
    }

    #[test]
    fn histograms_come_back() {
        let histograms = histogram_layout();
        assert_eq!(layout(&put_layout(&histograms)), Ok(histograms));
    }

    proptest! {
        #[test]
        fn damage_gives_no_other_layout(at in 0..200usize, byte: u8) {
            let mut record = put_layout(&histogram_layout());
            let len = record.len();
            record[at % len] = byte;
            let read = layout(&record);
            prop_assert!(read.is_err() || read == Ok(histogram_layout()));
        }
    }
}
