//! Named time intervals: when routes are muted or active.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use yaml::{Checker, Node, Schema, Type, View, field};

/// A named set of periods; it holds when one of them does.
#[derive(Clone, Debug)]
pub struct TimeInterval {
    /// Its name, unique in the file.
    pub name: String,
    periods: Vec<Period>,
}

/// Everything that is set must hold; ranges include both ends.
#[derive(Clone, Debug, Default)]
struct Period {
    /// Minutes of the day, the end not included.
    times: Vec<(i64, i64)>,
    weekdays: Vec<(i64, i64)>,
    days_of_month: Vec<(i64, i64)>,
    months: Vec<(i64, i64)>,
    years: Vec<(i64, i64)>,
    zone: Option<TimeZone>,
}

static TIME_RANGE: Schema =
    Schema::new("times", &[field("start_time", Type::Text), field("end_time", Type::Text)]);
static PERIOD: Schema = Schema::new(
    "time_intervals",
    &[
        field("times", Type::List(&Type::Object(&TIME_RANGE))),
        field("weekdays", Type::TEXTS),
        field("days_of_month", Type::TEXTS),
        field("months", Type::TEXTS),
        field("years", Type::TEXTS),
        field("location", Type::Text),
    ],
);
pub(super) static INTERVAL: Schema = Schema::new(
    "a time interval",
    &[field("name", Type::Text), field("time_intervals", Type::List(&Type::Object(&PERIOD)))],
);

const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

impl TimeInterval {
    pub(super) fn read(view: View<'_>, check: &mut Checker) -> Self {
        let periods = view.list("time_intervals").map(|period| Period::read(period, check)).collect();
        Self { name: view.text_or_empty("name").to_owned(), periods }
    }

    /// Whether it holds at `time_ms` (milliseconds since the Unix epoch).
    #[must_use]
    pub fn contains(&self, time_ms: i64) -> bool {
        Timestamp::from_millisecond(time_ms)
            .is_ok_and(|time| self.periods.iter().any(|period| period.contains(time)))
    }
}

impl Period {
    fn read(view: View<'_>, check: &mut Checker) -> Self {
        let mut ranges = |key: &str, read: fn(&str) -> Result<(i64, i64), String>| -> Vec<(i64, i64)> {
            let mut found = Vec::new();
            for node in view.items(key) {
                match read(node.text().unwrap_or_default()) {
                    Ok(range) => found.push(range),
                    Err(message) => check.error(node.at, message),
                }
            }
            found
        };
        let weekdays = ranges("weekdays", weekday_range);
        let days_of_month = ranges("days_of_month", day_range);
        let months = ranges("months", month_range);
        let years = ranges("years", year_range);
        let mut times = Vec::new();
        for range in view.list("times") {
            match time_range(range) {
                Ok(range) => times.push(range),
                Err(message) => check.error(range.at(), message),
            }
        }
        Self { times, weekdays, days_of_month, months, years, zone: zone(view.get("location"), check) }
    }

    fn contains(&self, time: Timestamp) -> bool {
        let local = time.to_zoned_datetime(self.zone.clone().unwrap_or(TimeZone::UTC));
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let within = |ranges: &[(i64, i64)], value: i64| {
            ranges.is_empty() || ranges.iter().any(|(first, last)| (*first..=*last).contains(&value))
        };
        let days = i64::from(local.days_in_month());
        let day_ranges: Vec<(i64, i64)> =
            self.days_of_month.iter().filter_map(|range| in_month(*range, days)).collect();
        let day = self.days_of_month.is_empty()
            || day_ranges.iter().any(|(first, last)| (*first..=*last).contains(&i64::from(local.day())));
        (self.times.is_empty() || self.times.iter().any(|(start, end)| (*start..*end).contains(&minute)))
            && day
            && within(&self.weekdays, i64::from(local.weekday().to_sunday_zero_offset()))
            && within(&self.months, i64::from(local.month()))
            && within(&self.years, i64::from(local.year()))
    }
}

/// A range of days in a month of `days` days; negative ones count from its end.
fn in_month((first, last): (i64, i64), days: i64) -> Option<(i64, i64)> {
    let from_start = |day: i64| if day < 0 { days + day + 1 } else { day };
    let first = from_start(first);
    (first <= days).then(|| (first.clamp(-days, days), from_start(last).clamp(-days, days)))
}

fn zone(node: Option<&Node>, check: &mut Checker) -> Option<TimeZone> {
    let node = node?;
    let name = node.text().unwrap_or_default();
    let found = match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        name => TimeZone::get(name),
    };
    match found {
        Ok(zone) => Some(zone),
        Err(_) => {
            check.error(node.at, format!("unknown time zone {name}; expected a name like Europe/Paris"));
            None
        }
    }
}

fn time_range(view: View<'_>) -> Result<(i64, i64), String> {
    if !view.filled("start_time") || !view.filled("end_time") {
        return Err("both start and end times must be provided".to_owned());
    }
    let (start, end) = (minutes(view.text_or_empty("start_time"))?, minutes(view.text_or_empty("end_time"))?);
    if start >= end {
        return Err("start time cannot be equal or greater than end time".to_owned());
    }
    Ok((start, end))
}

/// `HH:MM` up to `24:00`, as minutes of the day.
fn minutes(text: &str) -> Result<i64, String> {
    let bad = || format!("couldn't parse timestamp {text}, invalid format; expected HH:MM");
    let digits = |part: &str| {
        let two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| part.parse::<i64>().ok()).flatten()
    };
    let (hours, minutes) = text.split_once(':').ok_or_else(bad)?;
    let (hours, minutes) = (digits(hours).ok_or_else(bad)?, digits(minutes).ok_or_else(bad)?);
    let total = hours * 60 + minutes;
    if minutes > 59 || total > 24 * 60 { Err(bad()) } else { Ok(total) }
}

/// `a` or `a:b`, each end read by `read`.
fn range(text: &str, read: impl Fn(&str) -> Result<i64, String>) -> Result<(i64, i64), String> {
    match text.split_once(':') {
        None => read(text).map(|one| (one, one)),
        Some((first, last)) => Ok((read(first)?, read(last)?)),
    }
}

fn weekday_range(text: &str) -> Result<(i64, i64), String> {
    let range = range(&text.to_ascii_lowercase(), |name| {
        let at = WEEKDAYS.iter().position(|day| *day == name);
        at.and_then(|at| i64::try_from(at).ok())
            .ok_or_else(|| format!("{name} is not a valid weekday; expected one like monday"))
    })?;
    ordered(range, "start day cannot be before end day")
}

fn month_range(text: &str) -> Result<(i64, i64), String> {
    let range = range(&text.to_ascii_lowercase(), |name| {
        let at = MONTHS.iter().position(|month| *month == name).and_then(|at| i64::try_from(at + 1).ok());
        let month = at.or_else(|| name.parse().ok());
        month
            .filter(|month| (1..=12).contains(month))
            .ok_or_else(|| format!("{name} is not a valid month; expected a name or 1 to 12"))
    })?;
    ordered(range, "end month is before start month")
}

fn year_range(text: &str) -> Result<(i64, i64), String> {
    let range = range(text, |year| year.parse().map_err(|_| format!("{year} is not a valid year")))?;
    ordered(range, "end year is before start year")
}

fn day_range(text: &str) -> Result<(i64, i64), String> {
    let (first, last) = range(text, |day| {
        let number = day.parse::<i64>().map_err(|_| format!("{day} is not a valid day of the month"))?;
        let valid = (1..=31).contains(&number.abs());
        if valid {
            Ok(number)
        } else {
            Err(format!(
                "{number} is not a valid day of the month: out of range; expected 1 to 31 or -31 to -1"
            ))
        }
    })?;
    if first < 0 && last > 0 {
        return Err("end day must be negative if start day is negative".to_owned());
    }
    // February has at least 28 days: ranges that are empty in every month are mistakes.
    let span = |day: i64| if day < 0 { 31 + day + 1 } else { day };
    if span(first) > span(last) {
        return Err(format!("end day {last} is always before start day {first}"));
    }
    Ok((first, last))
}

fn ordered(range: (i64, i64), message: &str) -> Result<(i64, i64), String> {
    if range.0 > range.1 { Err(message.to_owned()) } else { Ok(range) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn interval(text: &str) -> Result<TimeInterval, String> {
        let file = Arc::from("f");
        let root = yaml::parse(&file, text).map_err(|error| error.to_string())?;
        let mut check = Checker::new(&file);
        check.object(&root, &INTERVAL);
        let read = TimeInterval::read(View::of(&root), &mut check);
        check.finish().map(|_| read).map_err(|errors| errors.to_string())
    }

    #[test]
    fn periods_hold_when_everything_set_holds() {
        for (text, time, holds) in [
            ("time_intervals: [{}]", "2026-11-24T00:00:00Z", true),
            ("time_intervals: []", "2026-11-24T00:00:00Z", false),
            ("time_intervals: [{weekdays: ['monday:friday']}]", "2026-11-24T00:00:00Z", true),
            ("time_intervals: [{weekdays: [saturday, sunday]}]", "2026-11-24T00:00:00Z", false),
            (
                "time_intervals: [{times: [{start_time: '09:00', end_time: '17:00'}]}]",
                "2026-11-24T17:00:00Z",
                false,
            ),
            (
                "time_intervals: [{times: [{start_time: '09:00', end_time: '24:00'}]}]",
                "2026-11-24T23:59:00Z",
                true,
            ),
            (
                "time_intervals: [{times: [{start_time: '09:00', end_time: '17:00'}], location: Europe/Paris}]",
                "2026-11-24T16:30:00Z",
                false,
            ),
            ("time_intervals: [{days_of_month: ['-1']}]", "2026-02-28T00:00:00Z", true),
            ("time_intervals: [{days_of_month: ['31:31']}]", "2026-02-28T00:00:00Z", false),
            ("time_intervals: [{days_of_month: ['25:-2']}]", "2026-11-29T00:00:00Z", true),
            ("time_intervals: [{months: ['november:december']}]", "2026-11-24T00:00:00Z", true),
            ("time_intervals: [{months: [1]}]", "2026-11-24T00:00:00Z", false),
            ("time_intervals: [{years: ['2020:2026'], months: ['may']}]", "2026-11-24T00:00:00Z", false),
        ] {
            let time: Timestamp = time.parse().expect("a time");
            assert_eq!(interval(text).expect(text).contains(time.as_millisecond()), holds, "{text}");
        }
    }

    #[test]
    fn wrong_ranges_are_refused_with_their_place() {
        for (text, error) in [
            (
                "time_intervals: [{weekdays: [mon]}]",
                "f:1:30: mon is not a valid weekday; expected one like monday",
            ),
            ("time_intervals: [{weekdays: ['friday:monday']}]", "f:1:30: start day cannot be before end day"),
            (
                "time_intervals: [{days_of_month: ['0']}]",
                "f:1:35: 0 is not a valid day of the month: out of range; expected 1 to 31 or -31 to -1",
            ),
            (
                "time_intervals: [{days_of_month: ['-3:1']}]",
                "f:1:35: end day must be negative if start day is negative",
            ),
            (
                "time_intervals: [{times: [{start_time: '9:00', end_time: '10:00'}]}]",
                "f:1:27: couldn't parse timestamp 9:00, invalid format; expected HH:MM",
            ),
            (
                "time_intervals: [{times: [{start_time: '10:00', end_time: '10:00'}]}]",
                "f:1:27: start time cannot be equal or greater than end time",
            ),
            (
                "time_intervals: [{location: Mars}]",
                "f:1:29: unknown time zone Mars; expected a name like Europe/Paris",
            ),
        ] {
            assert_eq!(interval(text).expect_err(text), error, "{text}");
        }
    }
}
