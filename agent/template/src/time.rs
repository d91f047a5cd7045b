//! Go's `time.Time` and `time.Duration` as templates use them.

use std::fmt;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::CallError;
use crate::value::Value;

/// A moment, seen in a time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoTime {
    at: Timestamp,
    zone: TimeZone,
}

/// Go's layout of `Time.String`.
const STRING: &str = "2006-01-02 15:04:05.999999999 -0700 MST";
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(crate) const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl GoTime {
    /// A moment in UTC, in milliseconds since the Unix epoch; `None` beyond the year 9999.
    #[must_use]
    pub fn from_ms(ms: i64) -> Option<Self> {
        Some(Self { at: Timestamp::from_millisecond(ms).ok()?, zone: TimeZone::UTC })
    }

    /// Go's zero time, the first of January of the year 1.
    #[must_use]
    pub fn zero() -> Self {
        Self { at: Timestamp::from_second(ZERO_SECONDS).unwrap_or_default(), zone: TimeZone::UTC }
    }

    /// The same moment in the time zone of that name; `None` when there is no such zone.
    #[must_use]
    pub fn in_zone(&self, name: &str) -> Option<Self> {
        let zone = match name {
            "" | "UTC" => TimeZone::UTC,
            "Local" => TimeZone::system(),
            name => TimeZone::get(name).ok()?,
        };
        Some(Self { at: self.at, zone })
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> i64 {
        self.at.as_millisecond()
    }

    /// The moment in a layout made of Go's reference time, `Mon Jan 2 15:04:05 MST 2006`.
    #[must_use]
    pub fn format(&self, layout: &str) -> String {
        let parts = self.parts();
        let mut out = String::new();
        let mut rest = layout;
        while !rest.is_empty() {
            match next_element(rest) {
                Some((element, len)) => {
                    parts.write(element, &mut out);
                    rest = &rest[len..];
                }
                None => {
                    let char = rest.chars().next().unwrap_or(' ');
                    out.push(char);
                    rest = &rest[char.len_utf8()..];
                }
            }
        }
        out
    }

    fn parts(&self) -> Parts {
        let info = self.zone.to_offset_info(self.at);
        let utc = self.zone == TimeZone::UTC;
        Parts {
            civil: info.offset().to_datetime(self.at),
            offset: info.offset().seconds(),
            zone: if utc { "UTC".to_owned() } else { info.abbreviation().to_owned() },
        }
    }

    fn nanos(&self) -> i128 {
        self.at.as_nanosecond()
    }

    /// What a method of `time.Time` gives; `None` when there is no such method.
    pub(crate) fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, CallError>> {
        let civil = || self.parts().civil;
        Some(Ok(match (name, args) {
            ("String", []) => Value::text(self.to_string()),
            ("Format", [layout]) => match layout.as_text() {
                Some(layout) => Value::text(self.format(layout)),
                None => return Some(Err(wrong_type("string", layout))),
            },
            ("Unix", []) => Value::Int(self.at.as_second()),
            ("UnixMilli", []) => Value::Int(self.unix_ms()),
            ("UnixNano", []) => Value::Int(i64::try_from(self.nanos()).unwrap_or(i64::MAX)),
            ("UTC", []) => Value::Time(Self { at: self.at, zone: TimeZone::UTC }),
            ("Local", []) => Value::Time(Self { at: self.at, zone: TimeZone::system() }),
            ("Year", []) => Value::Int(civil().year().into()),
            ("Month", []) => Value::text(MONTHS[usize::from(civil().month().unsigned_abs()) - 1]),
            ("Day", []) => Value::Int(civil().day().into()),
            ("Hour", []) => Value::Int(civil().hour().into()),
            ("Minute", []) => Value::Int(civil().minute().into()),
            ("Second", []) => Value::Int(civil().second().into()),
            ("Nanosecond", []) => Value::Int(civil().subsec_nanosecond().into()),
            ("Weekday", []) => Value::text(DAYS[day_of(&civil())]),
            ("YearDay", []) => Value::Int(civil().day_of_year().into()),
            ("IsZero", []) => {
                Value::Bool(self.at.as_second() == ZERO_SECONDS && self.at.subsec_nanosecond() == 0)
            }
            ("Before" | "After" | "Equal" | "Sub" | "Compare", [Value::Time(other)]) => {
                self.against(name, other)
            }
            ("UnixMicro", []) => Value::Int(self.at.as_microsecond()),
            ("Add", [by]) => {
                let Some(by) = as_duration(by) else {
                    return Some(Err(wrong_type("time.Duration", by)));
                };
                return Some(self.moved(self.nanos() + i128::from(by)));
            }
            ("AddDate", [years, months, days]) => return Some(self.add_date([years, months, days])),
            ("Truncate" | "Round", [unit]) => {
                let Some(unit) = as_duration(unit) else {
                    return Some(Err(wrong_type("time.Duration", unit)));
                };
                // Go counts from its zero time.
                let zero = i128::from(ZERO_SECONDS) * 1_000_000_000;
                return Some(self.moved(zero + to_unit(self.nanos() - zero, unit, name == "Round")));
            }
            ("Before" | "After" | "Equal" | "Sub" | "Compare", [other]) => {
                return Some(Err(wrong_type("time.Time", other)));
            }
            _ => return None,
        }))
    }

    fn moved(&self, nanos: i128) -> Result<Value, CallError> {
        match Timestamp::from_nanosecond(nanos) {
            Ok(at) => Ok(Value::Time(Self { at, zone: self.zone.clone() })),
            Err(error) => Err(CallError::Failed(error.to_string())),
        }
    }

    fn add_date(&self, by: [&Value; 3]) -> Result<Value, CallError> {
        let mut whole = [0; 3];
        for (value, slot) in by.into_iter().zip(&mut whole) {
            *slot = match value {
                Value::Int(number) => *number,
                other => return Err(wrong_type("int", other)),
            };
        }
        let beyond = |error: jiff::Error| CallError::Failed(error.to_string());
        let civil = self.parts().civil;
        // As in Go, a day that the month does not have runs on into the next one.
        let months = (i64::from(civil.month()) - 1).saturating_add(whole[1]);
        let year = i64::from(civil.year()).saturating_add(whole[0]).saturating_add(months.div_euclid(12));
        let month = i8::try_from(months.rem_euclid(12) + 1).unwrap_or(1);
        let year = i16::try_from(year).map_err(|_| "value is out of range")?;
        let first = jiff::civil::Date::new(year, month, 1).map_err(beyond)?;
        let days = whole[2].saturating_add(i64::from(civil.day()) - 1);
        let span = jiff::Span::new().try_days(days).map_err(beyond)?;
        let moved = first.checked_add(span).map_err(beyond)?.to_datetime(civil.time());
        let at = self.zone.to_ambiguous_zoned_datetime(moved).compatible().map_err(beyond)?.timestamp();
        Ok(Value::Time(Self { at, zone: self.zone.clone() }))
    }

    /// The moment that a text in such a layout means, in UTC; Go's error where it means none.
    pub(crate) fn parse(layout: &str, text: &str) -> Result<Self, String> {
        crate::time_parse::parse(layout, text)
    }

    pub(crate) fn from_parts(at: Timestamp, zone: TimeZone) -> Self {
        Self { at, zone }
    }

    /// As JSON has it: RFC 3339 with as many digits as it takes.
    pub(crate) fn rfc3339(&self) -> String {
        self.format("2006-01-02T15:04:05.999999999Z07:00")
    }

    fn against(&self, name: &str, other: &Self) -> Value {
        match name {
            "Before" => Value::Bool(self.at < other.at),
            "After" => Value::Bool(self.at > other.at),
            "Equal" => Value::Bool(self.at == other.at),
            "Compare" => Value::Int(self.at.cmp(&other.at) as i64),
            _ => {
                let difference = self.nanos() - other.nanos();
                let clamped = difference.clamp(i64::MIN.into(), i64::MAX.into());
                Value::Duration(i64::try_from(clamped).unwrap_or(i64::MAX))
            }
        }
    }
}

/// Seconds of Go's zero time, the first of January of the year 1.
const ZERO_SECONDS: i64 = -62_135_596_800;

impl fmt::Display for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(STRING))
    }
}

pub(crate) fn wrong_type(expected: &str, got: &Value) -> CallError {
    CallError::Failed(format!("wrong type for value; expected {expected}; got {}", got.type_name()))
}

fn day_of(civil: &DateTime) -> usize {
    usize::from(civil.weekday().to_monday_zero_offset().unsigned_abs())
}

/// An element of a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    LongMonth,
    Month,
    NumMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    Pm,
    SmallPm,
    Zone,
    /// Offset: `Z` for UTC, colons, how many of hours, minutes, seconds.
    Offset(bool, bool, u8),
    /// Fraction of a second: digits, and whether trailing zeros go; with the point or comma before it.
    Fraction(u8, bool, char),
}

/// Longest first where one begins with another.
const ELEMENTS: [(&str, Element); 33] = [
    ("January", Element::LongMonth),
    ("Jan", Element::Month),
    ("Monday", Element::LongWeekday),
    ("Mon", Element::Weekday),
    ("MST", Element::Zone),
    ("002", Element::ZeroYearDay),
    ("01", Element::ZeroMonth),
    ("02", Element::ZeroDay),
    ("03", Element::ZeroHour12),
    ("04", Element::ZeroMinute),
    ("05", Element::ZeroSecond),
    ("06", Element::Year),
    ("15", Element::Hour),
    ("2006", Element::LongYear),
    ("__2", Element::UnderYearDay),
    ("_2", Element::UnderDay),
    ("PM", Element::Pm),
    ("pm", Element::SmallPm),
    ("-07:00:00", Element::Offset(false, true, 3)),
    ("-07:00", Element::Offset(false, true, 2)),
    ("-070000", Element::Offset(false, false, 3)),
    ("-0700", Element::Offset(false, false, 2)),
    ("-07", Element::Offset(false, false, 1)),
    ("Z07:00:00", Element::Offset(true, true, 3)),
    ("Z07:00", Element::Offset(true, true, 2)),
    ("Z070000", Element::Offset(true, false, 3)),
    ("Z0700", Element::Offset(true, false, 2)),
    ("Z07", Element::Offset(true, false, 1)),
    ("1", Element::NumMonth),
    ("2", Element::Day),
    ("3", Element::Hour12),
    ("4", Element::Minute),
    ("5", Element::Second),
];

pub(crate) fn next_element(rest: &str) -> Option<(Element, usize)> {
    if let Some(fraction) = fraction(rest) {
        return Some(fraction);
    }
    // "_2006" is an underscore before a year.
    if rest.starts_with("_2006") {
        return None;
    }
    ELEMENTS.iter().find_map(|(text, element)| {
        let fits = rest.starts_with(text)
            && !(*text == "Jan" && rest[3..].starts_with(|next: char| next.is_ascii_lowercase()))
            && !(*text == "Mon" && rest[3..].starts_with(|next: char| next.is_ascii_lowercase()));
        fits.then_some((*element, text.len()))
    })
}

/// `.000` or `,999`: as many zeros or nines as digits, no other digit after them.
fn fraction(rest: &str) -> Option<(Element, usize)> {
    let mut chars = rest.chars();
    let mark = chars.next().filter(|char| matches!(char, '.' | ','))?;
    let digit = chars.next().filter(|char| matches!(char, '0' | '9'))?;
    let count = rest[1..].chars().take_while(|char| *char == digit).count();
    if rest[1 + count..].starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let digits = u8::try_from(count).ok()?.min(9);
    Some((Element::Fraction(digits, digit == '9', mark), 1 + count))
}

struct Parts {
    civil: DateTime,
    offset: i32,
    zone: String,
}

impl Parts {
    fn write(&self, element: Element, out: &mut String) {
        let civil = &self.civil;
        let (hour, month) = (civil.hour(), civil.month());
        let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
        let month_name = MONTHS[usize::from(month.unsigned_abs()) - 1];
        let day_name = DAYS[day_of(civil)];
        // Writing to a String cannot fail.
        let _ = match element {
            Element::LongMonth => out.write_str(month_name),
            Element::Month => out.write_str(&month_name[..3]),
            Element::NumMonth => write!(out, "{month}"),
            Element::ZeroMonth => write!(out, "{month:02}"),
            Element::LongWeekday => out.write_str(day_name),
            Element::Weekday => out.write_str(&day_name[..3]),
            Element::Day => write!(out, "{}", civil.day()),
            Element::UnderDay => write!(out, "{:2}", civil.day()),
            Element::ZeroDay => write!(out, "{:02}", civil.day()),
            Element::UnderYearDay => write!(out, "{:3}", civil.day_of_year()),
            Element::ZeroYearDay => write!(out, "{:03}", civil.day_of_year()),
            Element::Hour => write!(out, "{hour:02}"),
            Element::Hour12 => write!(out, "{hour12}"),
            Element::ZeroHour12 => write!(out, "{hour12:02}"),
            Element::Minute => write!(out, "{}", civil.minute()),
            Element::ZeroMinute => write!(out, "{:02}", civil.minute()),
            Element::Second => write!(out, "{}", civil.second()),
            Element::ZeroSecond => write!(out, "{:02}", civil.second()),
            Element::LongYear => write!(out, "{:04}", civil.year()),
            Element::Year => write!(out, "{:02}", civil.year().rem_euclid(100)),
            Element::Pm => out.write_str(if hour >= 12 { "PM" } else { "AM" }),
            Element::SmallPm => out.write_str(if hour >= 12 { "pm" } else { "am" }),
            Element::Zone => out.write_str(&self.zone),
            Element::Offset(z, colons, count) => return self.write_offset(z, colons, count, out),
            Element::Fraction(digits, trims, mark) => return self.write_fraction(digits, trims, mark, out),
        };
    }

    fn write_offset(&self, z: bool, colons: bool, count: u8, out: &mut String) {
        if z && self.offset == 0 {
            out.push('Z');
            return;
        }
        let size = self.offset.unsigned_abs();
        out.push(if self.offset < 0 { '-' } else { '+' });
        for (at, part) in [size / 3600, size / 60 % 60, size % 60].into_iter().take(count.into()).enumerate()
        {
            if at > 0 && colons {
                out.push(':');
            }
            let _ = write!(out, "{part:02}");
        }
    }

    fn write_fraction(&self, digits: u8, trims: bool, mark: char, out: &mut String) {
        let nanos = format!("{:09}", self.civil.subsec_nanosecond());
        let mut shown = &nanos[..digits.into()];
        if trims {
            shown = shown.trim_end_matches('0');
            if shown.is_empty() {
                return;
            }
        }
        out.push(mark);
        out.push_str(shown);
    }
}

/// A duration, also as the constant that Go's templates make one of.
fn as_duration(value: &Value) -> Option<i64> {
    match value {
        Value::Duration(nanos) | Value::Int(nanos) => Some(*nanos),
        #[allow(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        Value::Float(nanos) if nanos.fract() == 0.0 && nanos.abs() < 9e18 => Some(*nanos as i64),
        _ => None,
    }
}

/// Down to, or to the nearest, multiple of a unit; halves go away from zero.
fn to_unit(nanos: i128, unit: i64, nearest: bool) -> i128 {
    let unit = i128::from(unit);
    if unit <= 0 {
        return nanos;
    }
    let rest = nanos % unit;
    let down = nanos - rest;
    match nearest && rest.abs() * 2 >= unit {
        true => down + unit * rest.signum(),
        false => down,
    }
}

/// What a method of `time.Duration` gives; `None` when there is no such method.
pub(crate) fn duration_method(nanos: i64, name: &str, args: &[Value]) -> Option<Value> {
    if let ("Truncate" | "Round", [unit]) = (name, args) {
        let moved = to_unit(nanos.into(), as_duration(unit)?, name == "Round");
        return Some(Value::Duration(i64::try_from(moved).unwrap_or(i64::MAX)));
    }
    if !args.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "Go's methods give floats too")]
    let float = nanos as f64;
    Some(match name {
        "String" => Value::text(duration_text(nanos)),
        "Hours" => Value::Float(float / 3.6e12),
        "Minutes" => Value::Float(float / 6e10),
        "Seconds" => Value::Float(float / 1e9),
        "Milliseconds" => Value::Int(nanos / 1_000_000),
        "Microseconds" => Value::Int(nanos / 1_000),
        "Nanoseconds" => Value::Int(nanos),
        "Abs" => Value::Duration(nanos.saturating_abs()),
        _ => return None,
    })
}

/// A duration as Go writes it: `1h2m3.5s`, `1.5ms`, `0s`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    for (below, unit, name) in [(1_000, 1, "ns"), (1_000_000, 1_000, "µs"), (1_000_000_000, 1_000_000, "ms")]
    {
        if size < below {
            return format!("{sign}{}{name}", with_fraction(size, unit));
        }
    }
    let (minutes, rest) = (size / 60_000_000_000, size % 60_000_000_000);
    let seconds = with_fraction(rest, 1_000_000_000);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    if hours > 0 {
        format!("{sign}{hours}h{minutes}m{seconds}s")
    } else if minutes > 0 {
        format!("{sign}{minutes}m{seconds}s")
    } else {
        format!("{sign}{seconds}s")
    }
}

fn with_fraction(size: u64, unit: u64) -> String {
    let (whole, fraction) = (size / unit, size % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{fraction:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_gos() {
        let time = GoTime::from_ms(1_435_065_584_128).expect("in range");
        assert_eq!(time.to_string(), "2015-06-23 13:19:44.128 +0000 UTC");
        for (layout, text) in [
            ("2006-01-02T15:04:05.000Z07:00", "2015-06-23T13:19:44.128Z"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "Tue, 23 Jun 2015 13:19:44 +0000"),
            ("Monday January _2 3:04PM '06", "Tuesday June 23 1:19PM '15"),
            ("15:04:05.99", "13:19:44.12"),
            ("002 1/2", "174 6/23"),
            ("Months", "Months"),
        ] {
            assert_eq!(time.format(layout), text, "{layout}");
        }
        // A host need not have a database of zones.
        if let Some(berlin) = time.in_zone("Europe/Berlin") {
            assert_eq!(berlin.format("15:04 MST -07:00"), "15:19 CEST +02:00");
        }
        assert!(time.in_zone("No/Where").is_none());
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (5, "5ns"),
            (1_500, "1.5µs"),
            (90_000_000_000, "1m30s"),
            (3_600_500_000_000, "1h0m0.5s"),
            (-1_000_000_000, "-1s"),
        ] {
            assert_eq!(duration_text(nanos), text);
        }
    }
}
