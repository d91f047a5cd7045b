//! Parts of a date in UTC.

/// A civil date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Civil {
    year: i64,
    month: i64,
    day: i64,
    /// Days since the Unix epoch.
    days: i64,
    /// Since midnight.
    seconds: i64,
}

/// Seconds beyond are brought to it: about 30 million years.
const SECONDS_MAX: f64 = 1e15;

fn civil(unix_seconds: f64) -> Civil {
    let total = unix_seconds.clamp(-SECONDS_MAX, SECONDS_MAX) as i64;
    let (days, seconds) = (total.div_euclid(86_400), total.rem_euclid(86_400));
    // Years start in March here, so that the leap day is the last; an era is 400 of them.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    Civil { year, month, day, days, seconds }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The function of that name from seconds since the Unix epoch to a part of the date.
pub(super) fn part(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "year" => |at| civil(at).year as f64,
        "month" => |at| civil(at).month as f64,
        "day_of_month" => |at| civil(at).day as f64,
        // The Unix epoch was a Thursday.
        "day_of_week" => |at| (civil(at).days + 4).rem_euclid(7) as f64,
        "day_of_year" => |at| {
            let date = civil(at);
            let before: i64 = (1..date.month).map(|month| days_in_month(date.year, month)).sum();
            (before + date.day) as f64
        },
        "days_in_month" => |at| {
            let date = civil(at);
            days_in_month(date.year, date.month) as f64
        },
        "hour" => |at| (civil(at).seconds / 3_600) as f64,
        "minute" => |at| (civil(at).seconds / 60 % 60) as f64,
        _ => return None,
    })
}

/// Seconds since the Unix epoch as `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(unix_seconds: i64) -> String {
    let date = civil(unix_seconds as f64);
    let (hour, minute, second) = (date.seconds / 3_600, date.seconds / 60 % 60, date.seconds % 60);
    format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", date.year, date.month, date.day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        let get = |name: &str, at: f64| part(name).expect(name)(at);
        assert_eq!(get("day_of_week", 0.0), 4.0);
        assert_eq!(get("day_of_year", 951_782_400.0), 60.0);
        assert_eq!(get("days_in_month", 951_782_400.0), 29.0);
        assert!(get("year", f64::INFINITY).is_finite());
    }
}
