//! Times as the API and notifications write them, and as the API reads them.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// `0001-01-01T00:00:00Z`, which stands for "not set".
pub(crate) const UNSET_MS: i64 = -62_135_596_800_000;

/// RFC 3339 with milliseconds, in UTC.
pub(crate) fn format_ms(ms: i64) -> String {
    let ms = ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |it| it.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// RFC 3339 in UTC with as many decimals as it takes, as Go's encoders write times.
#[must_use]
pub fn format_time(ms: i64) -> String {
    let text = format_ms(ms);
    let short = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    format!("{short}Z")
}

/// Milliseconds since the Unix epoch; `Ok(None)` for what stands for "not set".
pub(crate) fn parse_ms(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let with_offset = text.parse::<Timestamp>();
    let time = match with_offset {
        Ok(time) => time,
        // Without an offset it is UTC.
        Err(error) => text
            .parse::<DateTime>()
            .and_then(|time| TimeZone::UTC.to_timestamp(time))
            .map_err(|_| format!("parsing time {text:?}: {error}"))?,
    };
    let ms = time.as_millisecond();
    Ok((ms != UNSET_MS).then_some(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written() {
        for (text, want) in [
            ("1970-01-01T00:00:01.5Z", Ok(Some(1_500))),
            ("1970-01-01T01:00:00+01:00", Ok(Some(0))),
            ("1970-01-01T00:00:02", Ok(Some(2_000))),
            ("0001-01-01T00:00:00.000Z", Ok(None)),
            ("0001-01-01T00:00:01Z", Ok(Some(UNSET_MS + 1_000))),
            ("", Ok(None)),
            ("yesterday", Err(())),
        ] {
            assert_eq!(parse_ms(text).map_err(drop), want, "{text}");
        }
        assert_eq!(format_ms(1_500), "1970-01-01T00:00:01.500Z");
        assert_eq!(format_ms(UNSET_MS), "0001-01-01T00:00:00.000Z");
        assert_eq!(format_ms(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(
            [0, 1_500, 600_000].map(format_time),
            ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z", "1970-01-01T00:10:00Z"]
        );
    }
}
