//! How a block's header writes what it says of each column.

use storage::{Number, Summary};

use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};

const FLAG_FULL: u8 = 1;
const FLAG_UNIFORM: u8 = 2;
const FLAG_NAN: u8 = 4;

// Codes up to 22 are exponents of a decimal.
const CODE_RAW: u8 = 23;
/// The first value; the code after it is the last one.
const CODE_KNOWN: u8 = 24;
/// The last value minus the first.
const CODE_RISE: u8 = 26;
/// A mantissa minus that of the first value, with its exponent.
const CODE_NEAR: u8 = 27;
/// The same, minus that mantissa once for each value: of sums.
const CODE_SUM: u8 = 28;

/// Appends it, for a column of `rows` rows.
pub(super) fn put(summary: &Summary, rows: usize, out: &mut Vec<u8>) {
    let uniform = summary.count > 0
        && summary.bits() == Summary::uniform(summary.first, summary.count, summary.stale).bits();
    let full = summary.count as usize == rows;
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    out.push(flag(full, FLAG_FULL) | flag(uniform, FLAG_UNIFORM) | flag(summary.nan > 0, FLAG_NAN));
    if !full {
        put_varint(out, u64::from(summary.count));
        put_varint(out, u64::from(summary.stale));
    }
    if summary.nan > 0 {
        put_varint(out, u64::from(summary.nan));
    }
    if summary.count == 0 {
        return;
    }
    let mut known = Known { count: summary.count, values: [summary.first; 2], len: 0 };
    known.put(summary.first, out);
    if !uniform {
        known.len = 1;
        known.put(summary.last, out);
        known = Known { values: [summary.first, summary.last], len: 2, ..known };
        for number in [summary.min, summary.max, summary.sum, summary.reset_sum] {
            known.put(number, out);
        }
    }
}

/// What `put` wrote for a column of `rows` rows.
pub(super) fn read(reader: &mut Reader<'_>, rows: usize) -> Result<Summary, Malformed> {
    let flags = reader.byte()?;
    if flags & !(FLAG_FULL | FLAG_UNIFORM | FLAG_NAN) != 0 {
        return Err(Malformed("an unknown summary"));
    }
    let full = flags & FLAG_FULL != 0;
    let (count, stale) = if full { (rows as u64, 0) } else { (reader.varint()?, reader.varint()?) };
    let nan = if flags & FLAG_NAN == 0 { 0 } else { reader.varint()? };
    let rows = rows as u64;
    if count > rows || stale > rows - count || nan > count {
        return Err(Malformed("a summary of more rows than there are"));
    }
    let mut summary = Summary { count: count as u32, stale: stale as u32, nan: nan as u32, ..Summary::EMPTY };
    if count == 0 {
        return Ok(summary);
    }
    let mut known = Known { count: summary.count, values: [0.0; 2], len: 0 };
    let first = known.read(reader)?;
    if flags & FLAG_UNIFORM != 0 {
        return Ok(Summary { nan: summary.nan, ..Summary::uniform(first, summary.count, summary.stale) });
    }
    summary.first = first;
    known = Known { values: [first; 2], len: 1, ..known };
    summary.last = known.read(reader)?;
    known = Known { values: [first, summary.last], len: 2, ..known };
    for place in [&mut summary.min, &mut summary.max, &mut summary.sum, &mut summary.reset_sum] {
        *place = known.read(reader)?;
    }
    Ok(summary)
}

/// What is known of a column when the next number of its summary is told.
#[derive(Clone, Copy)]
struct Known {
    /// Values of the column.
    count: u32,
    /// The first value, and the last.
    values: [f64; 2],
    /// How many of them are known.
    len: usize,
}

impl Known {
    fn values(&self) -> &[f64] {
        self.values.get(..self.len).unwrap_or(&[])
    }

    /// The first value as a decimal, once it is known.
    fn decimal(&self) -> Option<(i64, u8)> {
        match self.values().first().map(|first| Number::from_f64(*first))? {
            Number::Decimal { mantissa, exponent } => Some((mantissa, exponent)),
            Number::Raw(_) => None,
        }
    }

    /// What the mantissa of a number is told from: the first value's, once, or once for each value.
    fn base(&self, code: u8) -> Option<(i64, u8)> {
        let (mantissa, exponent) = self.decimal()?;
        let times = if code == CODE_SUM { i64::from(self.count) } else { 1 };
        Some((mantissa.wrapping_mul(times), exponent))
    }

    /// How far the last value is from the first.
    fn rise(&self) -> Option<f64> {
        if let [first, last] = self.values() { Some(last - first) } else { None }
    }

    /// Appends a number in as few bytes as it takes.
    fn put(&self, value: f64, out: &mut Vec<u8>) {
        if let Some(at) = self.values().iter().position(|known| known.to_bits() == value.to_bits()) {
            return out.push(CODE_KNOWN + at as u8);
        }
        if self.rise().is_some_and(|rise| rise.to_bits() == value.to_bits()) {
            return out.push(CODE_RISE);
        }
        let start = out.len();
        match Number::from_f64(value) {
            Number::Decimal { mantissa, exponent } => {
                out.push(exponent);
                put_zigzag(out, mantissa);
            }
            Number::Raw(bits) => {
                out.push(CODE_RAW);
                out.extend_from_slice(&bits.to_le_bytes());
            }
        }
        for code in [CODE_NEAR, CODE_SUM] {
            let Some((base, exponent)) = self.base(code) else { continue };
            let Some(mantissa) = mantissa_of(value, exponent) else { continue };
            let mut shorter = vec![code];
            put_zigzag(&mut shorter, mantissa.wrapping_sub(base));
            if shorter.len() < out.len() - start {
                out.truncate(start);
                out.append(&mut shorter);
            }
        }
    }

    fn read(&self, reader: &mut Reader<'_>) -> Result<f64, Malformed> {
        let decimal = |mantissa, exponent| {
            Number::decimal(mantissa, exponent).map(Number::to_f64).ok_or(Malformed("a decimal out of range"))
        };
        match reader.byte()? {
            CODE_RAW => Ok(f64::from_bits(reader.u64_le()?)),
            exponent @ 0..=Number::EXPONENT_MAX => decimal(reader.zigzag()?, exponent),
            CODE_RISE => self.rise().ok_or(Malformed("an unknown number")),
            code @ (CODE_NEAR | CODE_SUM) => {
                let (base, exponent) = self.base(code).ok_or(Malformed("an unknown number"))?;
                decimal(base.wrapping_add(reader.zigzag()?), exponent)
            }
            code => {
                let at = usize::from(code - CODE_KNOWN);
                self.values().get(at).copied().ok_or(Malformed("an unknown number"))
            }
        }
    }
}

/// The mantissa that names a value with this exponent, bit for bit.
fn mantissa_of(value: f64, exponent: u8) -> Option<i64> {
    let Number::Decimal { mantissa, exponent: own } = Number::from_f64(value) else { return None };
    let mantissa = mantissa.checked_mul(10i64.checked_pow(u32::from(exponent.checked_sub(own)?))?)?;
    let named = Number::decimal(mantissa, exponent)?;
    (named.to_f64().to_bits() == value.to_bits()).then_some(mantissa)
}

#[cfg(test)]
mod tests {
    use storage::Cell;

    use super::*;

    fn value(value: f64) -> Cell {
        Cell::Value(Number::from_f64(value))
    }

    fn check(cells: &[Cell]) -> Summary {
        let summary = Summary::of(cells);
        let mut bytes = Vec::new();
        put(&summary, cells.len(), &mut bytes);
        let mut reader = Reader::new(&bytes);
        let read = read(&mut reader, cells.len()).expect("reads");
        assert!(reader.is_empty());
        assert_eq!(read.bits(), summary.bits(), "{cells:?}");
        summary
    }

    #[test]
    fn a_counter_that_began_again() {
        let summary = check(&[value(10.0), Cell::Absent, value(15.0), Cell::Stale, value(2.0), value(2.5)]);
        assert_eq!((summary.count, summary.stale, summary.nan), (4, 1, 0));
        assert_eq!((summary.first, summary.last), (10.0, 2.5));
        assert_eq!((summary.min, summary.max), (2.0, 15.0));
        assert_eq!((summary.sum, summary.reset_sum), (29.5, 7.5));
    }

    #[test]
    fn nan_is_a_value_and_in_no_sum() {
        let summary = check(&[value(f64::NAN), value(1.0), value(f64::NAN), value(4.0)]);
        assert_eq!((summary.count, summary.nan), (4, 2));
        assert!(summary.first.is_nan());
        assert_eq!((summary.min, summary.max, summary.sum, summary.reset_sum), (1.0, 4.0, 5.0, 3.0));
        let none = check(&[value(f64::NAN), value(f64::NAN)]);
        assert!(none.min.is_nan() && none.max.is_nan() && none.last.is_nan());
        assert_eq!((none.sum, none.reset_sum), (0.0, 0.0));
    }

    #[test]
    fn odd_columns_come_back() {
        for cells in [
            vec![Cell::Absent; 3],
            vec![Cell::Stale; 3],
            vec![value(0.1); 1_000],
            vec![value(-0.0), value(0.0)],
            vec![value(f64::INFINITY), value(f64::NEG_INFINITY), value(1.0)],
            vec![value(f64::MAX); 5],
            vec![value(5e-324), value(1e300), value(1.0)],
        ] {
            check(&cells);
        }
    }

    #[test]
    fn small_terms_are_not_lost() {
        let mut cells = vec![value(1e16)];
        cells.extend([value(1.0); 10]);
        cells.push(value(-1e16));
        assert_eq!(check(&cells).sum, 10.0);
    }
}
