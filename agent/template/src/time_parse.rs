//! Texts to moments: Go's `time.Parse` for the layouts that `format` writes.

use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

use crate::format::quoted;
use crate::time::{DAYS, Element, GoTime, MONTHS, next_element};

/// What has been read so far; what a layout does not name is that of the first moment of the year 0.
#[derive(Default)]
struct Read {
    year: i64,
    month: Option<i64>,
    day: Option<i64>,
    year_day: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<i32>,
}

/// The moment that `text` means in such a layout.
pub(crate) fn parse(layout: &str, text: &str) -> Result<GoTime, String> {
    let wrong = |rest: &str, element: &str| {
        let (text, layout) = (quoted(text), quoted(layout));
        let (rest, element) = (quoted(rest), quoted(element));
        format!("parsing time {text} as {layout}: cannot parse {rest} as {element}")
    };
    let (mut pattern, mut rest, mut read) = (layout, text, Read::default());
    while !pattern.is_empty() {
        let Some((element, len)) = next_element(pattern) else {
            let char = pattern.chars().next().unwrap_or(' ');
            let literal = &pattern[..pattern.len().min(char.len_utf8())];
            rest = rest.strip_prefix(literal).ok_or_else(|| wrong(rest, pattern))?;
            pattern = &pattern[char.len_utf8()..];
            continue;
        };
        let name = &pattern[..len];
        rest = read.element(element, rest).ok_or_else(|| wrong(rest, name))?;
        pattern = &pattern[len..];
        // A fraction may follow the seconds without the layout saying so.
        let seconds = matches!(element, Element::Second | Element::ZeroSecond);
        if seconds && !matches!(next_element(pattern), Some((Element::Fraction(..), _))) {
            rest = read.fraction(rest, None).unwrap_or(rest);
        }
    }
    if !rest.is_empty() {
        return Err(format!("parsing time {}: extra text: {}", quoted(text), quoted(rest)));
    }
    read.moment().ok_or_else(|| format!("parsing time {}: a part is out of range", quoted(text)))
}

impl Read {
    fn element<'t>(&mut self, element: Element, rest: &'t str) -> Option<&'t str> {
        let number = |least, most, slot: &mut i64| {
            let (value, rest) = digits(rest, least, most)?;
            *slot = value;
            Some(rest)
        };
        let mut found = 0;
        match element {
            Element::LongYear => number(4, 4, &mut self.year),
            Element::Year => {
                let rest = number(2, 2, &mut found)?;
                self.year = found + if found >= 69 { 1900 } else { 2000 };
                Some(rest)
            }
            Element::NumMonth | Element::ZeroMonth => {
                let least = if element == Element::ZeroMonth { 2 } else { 1 };
                let rest = number(least, 2, &mut found)?;
                self.month = Some(found);
                Some(rest)
            }
            Element::LongMonth | Element::Month => {
                let (at, rest) = name(&MONTHS, rest, element == Element::LongMonth)?;
                self.month = Some(at + 1);
                Some(rest)
            }
            Element::LongWeekday | Element::Weekday => {
                name(&DAYS, rest, element == Element::LongWeekday).map(|(_, rest)| rest)
            }
            Element::Day | Element::UnderDay | Element::ZeroDay => {
                let rest = rest.strip_prefix(' ').filter(|_| element == Element::UnderDay).unwrap_or(rest);
                let (day, rest) = digits(rest, if element == Element::ZeroDay { 2 } else { 1 }, 2)?;
                self.day = Some(day);
                Some(rest)
            }
            Element::UnderYearDay | Element::ZeroYearDay => {
                let (day, rest) = digits(rest.trim_start_matches(' '), 1, 3)?;
                self.year_day = Some(day);
                Some(rest)
            }
            Element::Hour => number(2, 2, &mut self.hour),
            Element::Hour12 | Element::ZeroHour12 => number(1, 2, &mut self.hour),
            Element::Minute => number(1, 2, &mut self.minute),
            Element::ZeroMinute => number(2, 2, &mut self.minute),
            Element::Second => number(1, 2, &mut self.second),
            Element::ZeroSecond => number(2, 2, &mut self.second),
            Element::Pm | Element::SmallPm => {
                let half = rest.get(..2)?;
                self.afternoon = Some(match half {
                    "PM" | "pm" => true,
                    "AM" | "am" => false,
                    _ => return None,
                });
                Some(&rest[2..])
            }
            Element::Zone => self.zone(rest),
            Element::Offset(z, colons, parts) => self.offset(rest, z, colons, parts),
            Element::Fraction(count, trims, _) => {
                if trims && !rest.starts_with(['.', ',']) {
                    return Some(rest);
                }
                self.fraction(rest, (!trims).then_some(count.into()))
            }
        }
    }

    fn fraction<'t>(&mut self, rest: &'t str, count: Option<usize>) -> Option<&'t str> {
        let after = rest.strip_prefix(['.', ','])?;
        let len = after.bytes().take_while(u8::is_ascii_digit).count();
        if len == 0 || count.is_some_and(|count| count != len) {
            return None;
        }
        self.nanos = format!("{:0<9}", &after[..len.min(9)]).parse().ok()?;
        Some(&after[len..])
    }

    /// An abbreviation. Only UTC's own says how far it is from UTC, as in Go where there is no location.
    fn zone<'t>(&mut self, rest: &'t str) -> Option<&'t str> {
        let len = rest.bytes().take_while(u8::is_ascii_uppercase).count();
        if !(3..=5).contains(&len) {
            return None;
        }
        self.offset = self.offset.or(Some(0));
        Some(&rest[len..])
    }

    fn offset<'t>(&mut self, rest: &'t str, z: bool, colons: bool, parts: u8) -> Option<&'t str> {
        if z && let Some(after) = rest.strip_prefix('Z') {
            self.offset = Some(0);
            return Some(after);
        }
        let sign = match rest.bytes().next()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (mut rest, mut seconds) = (&rest[1..], 0);
        for (at, unit) in [3600, 60, 1].into_iter().take(parts.into()).enumerate() {
            if at > 0 && colons {
                rest = rest.strip_prefix(':')?;
            }
            let (value, after) = digits(rest, 2, 2)?;
            seconds += i32::try_from(value).ok()? * unit;
            rest = after;
        }
        self.offset = Some(sign * seconds);
        Some(rest)
    }

    fn moment(&self) -> Option<GoTime> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            _ => self.hour,
        };
        let year = i16::try_from(self.year).ok()?;
        let small = |number: i64| i8::try_from(number).ok();
        let mut date =
            Date::new(year, small(self.month.unwrap_or(1))?, small(self.day.unwrap_or(1))?).ok()?;
        if let Some(day) = self.year_day {
            date = date.with().day_of_year(i16::try_from(day).ok()?).build().ok()?;
        }
        let time = jiff::civil::Time::new(small(hour)?, small(self.minute)?, small(self.second)?, self.nanos);
        let offset = Offset::from_seconds(self.offset.unwrap_or(0)).ok()?;
        let at = offset.to_timestamp(date.to_datetime(time.ok()?)).ok()?;
        let zone = if offset.seconds() == 0 { TimeZone::UTC } else { TimeZone::fixed(offset) };
        Some(GoTime::from_parts(at, zone))
    }
}

fn digits(rest: &str, least: usize, most: usize) -> Option<(i64, &str)> {
    let len = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    (len >= least).then(|| Some((rest[..len].parse().ok()?, &rest[len..])))?
}

/// A name out of a list, whole or its first three letters, in any case.
fn name<'t>(names: &[&str], rest: &'t str, long: bool) -> Option<(i64, &'t str)> {
    names.iter().zip(0..).find_map(|(name, at)| {
        let name = if long { name } else { &name[..3] };
        let head = rest.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name))?;
        Some((at, &rest[head.len()..]))
    })
}
