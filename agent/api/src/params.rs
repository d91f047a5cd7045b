//! Request parameters: the query string and the posted form, and how times, spans and limits are written.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Method, Request, header};
use model::Matcher;
use storage::TimeRange;

use crate::error::ApiError;

/// First and last time that the API can name, in milliseconds, as Prometheus writes them.
const TIME_MIN: (&str, i64) = ("-292273086-05-16T16:47:06Z", (i64::MIN / 1_000 + 62_135_596_801) * 1_000);
const TIME_MAX: (&str, i64) =
    ("+292277025-08-18T07:12:54.999999999Z", (i64::MAX / 1_000 - 62_135_596_801) * 1_000 + 999);

/// A request's parameters, the posted ones first.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    asker: Asker,
}

/// Who asked, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asker {
    /// The address, without its port; empty where the listener does not tell.
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) path: String,
}

impl Asker {
    fn of(head: &http::request::Parts) -> Self {
        let client = head.extensions.get::<ConnectInfo<SocketAddr>>();
        Self {
            client: client.map(|ConnectInfo(peer)| peer.ip().to_canonical().to_string()).unwrap_or_default(),
            method: head.method.to_string(),
            path: head.uri.path().to_owned(),
        }
    }
}

impl Params {
    /// Reads the query string and, of a posted form, the body up to `body_max` bytes.
    pub(crate) async fn read(request: Request<Body>, body_max: usize) -> Result<Self, ApiError> {
        let (head, body) = request.into_parts();
        let mut pairs = Vec::new();
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let is_form = kind.split(';').next().unwrap_or("").trim() == "application/x-www-form-urlencoded";
        if matches!(head.method, Method::POST | Method::PUT) && is_form {
            let body = axum::body::to_bytes(body, body_max)
                .await
                .map_err(|error| ApiError::bad_data(format!("error parsing form values: {error}")))?;
            pairs.extend(url::form_urlencoded::parse(&body).into_owned());
        }
        let query = head.uri.query().unwrap_or("");
        pairs.extend(url::form_urlencoded::parse(query.as_bytes()).into_owned());
        Ok(Self { pairs, asker: Asker::of(&head) })
    }

    /// Who asked.
    pub(crate) fn asker(&self) -> &Asker {
        &self.asker
    }

    /// The first value of a parameter, empty where there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A time in milliseconds that must be given.
    pub(crate) fn time(&self, name: &str) -> Result<i64, ApiError> {
        parse_time(self.get(name)).map_err(|text| ApiError::parameter(name, text))
    }

    /// A time in milliseconds that may be left out.
    pub(crate) fn time_or(&self, name: &str, default: i64) -> Result<i64, ApiError> {
        match self.get(name) {
            "" => Ok(default),
            text => parse_time(text).map_err(|what| {
                ApiError::parameter(name, format!("invalid time value for '{name}': {what}"))
            }),
        }
    }

    /// `start` and `end`, all of time where they are left out.
    pub(crate) fn range(&self) -> Result<TimeRange, ApiError> {
        let start = self.time_or("start", TimeRange::ALL.start)?;
        let end = self.time_or("end", TimeRange::ALL.end)?;
        Ok(TimeRange { start, end })
    }

    /// A number of entries; 0 and nothing mean no limit.
    pub(crate) fn limit(&self) -> Result<usize, ApiError> {
        match self.get("limit") {
            "" => Ok(0),
            text => parse_limit(text).map_err(|what| ApiError::parameter("limit", what)),
        }
    }

    /// A span of time that may be left out; negative ones are no spans.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Span>, String> {
        match self.get(name) {
            "" => Ok(None),
            text => parse_span(text).map(Some),
        }
    }

    /// A span of time in milliseconds that must be given.
    pub(crate) fn duration_given(&self, name: &str) -> Result<i64, ApiError> {
        parse_span(self.get(name)).map(|span| span.0).map_err(|what| ApiError::parameter(name, what))
    }

    /// The selectors in `match[]`. Each must have a matcher that the empty string does not pass.
    pub(crate) fn matcher_sets(&self) -> Result<Vec<Vec<Matcher>>, String> {
        self.all("match[]")
            .map(|text| {
                let matchers = promql::parse_metric_selector(text).map_err(|error| error.to_string())?;
                if matchers.iter().all(|matcher| matcher.matches("")) {
                    return Err("match[] must contain at least one non-empty matcher".to_owned());
                }
                Ok(matchers)
            })
            .collect()
    }
}

/// A span of time with its sign, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span(pub(crate) i64);

impl Span {
    /// The span, where it is not negative.
    pub(crate) fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().filter(|millis| *millis > 0).map(Duration::from_millis)
    }
}

/// Reads a time: seconds with decimals, RFC 3339, or one of Prometheus's two ends of time; in milliseconds since the
/// Unix epoch.
///
/// # Errors
/// When the text is none of them.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Beyond this no millisecond fits an i64, and NaN compares with nothing.
        if seconds.abs() < 9.2e15 {
            #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
            return Ok((seconds.trunc() as i64) * 1_000 + (seconds.fract() * 1_000.0).round() as i64);
        }
    } else if text == TIME_MIN.0 {
        return Ok(TIME_MIN.1);
    } else if text == TIME_MAX.0 {
        return Ok(TIME_MAX.1);
    } else if let Some(time) = text.contains('T').then(|| text.parse::<jiff::Timestamp>().ok()).flatten() {
        return Ok(time.as_millisecond());
    }
    Err(format!("cannot parse {text:?} to a valid timestamp"))
}

/// Reads a span of time: seconds with decimals or a duration as PromQL writes it.
pub(crate) fn parse_span(text: &str) -> Result<Span, String> {
    if let Ok(seconds) = text.parse::<f64>() {
        let nanos = seconds * 1e9;
        #[allow(clippy::cast_precision_loss, reason = "a bound")]
        let fits = nanos.abs() <= i64::MAX as f64;
        if !fits {
            return Err(format!("cannot parse {text:?} to a valid duration. It overflows int64"));
        }
        #[allow(clippy::cast_possible_truncation, reason = "the range was checked")]
        return Ok(Span((nanos / 1e6) as i64));
    }
    match model::parse_duration(text) {
        Ok(span) => Ok(Span(i64::try_from(span.as_millis()).unwrap_or(i64::MAX))),
        Err(_) => Err(format!("cannot parse {text:?} to a valid duration")),
    }
}

/// Reads a truth as Go does.
pub(crate) fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// Reads a limit with Go's error texts.
fn parse_limit(text: &str) -> Result<usize, String> {
    match text.parse::<i64>() {
        Ok(limit) => usize::try_from(limit).map_err(|_| "limit must be non-negative".to_owned()),
        Err(error) => {
            let what = match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            };
            Err(format!("strconv.Atoi: parsing {text:?}: {what}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, millis) in [
            ("0", 0),
            ("123", 123_000),
            ("123.123", 123_123),
            ("1543578564.7059999", 1_543_578_564_706),
            ("-1.5", -1_500),
            ("1e3", 1_000_000),
            ("2015-06-03T13:21:58.555Z", 1_433_337_718_555),
            ("2015-06-03T14:21:58.555+01:00", 1_433_337_718_555),
            ("-292273086-05-16T16:47:06Z", TIME_MIN.1),
            ("+292277025-08-18T07:12:54.999999999Z", TIME_MAX.1),
        ] {
            assert_eq!(parse_time(text), Ok(millis), "{text}");
        }
        for text in ["", "abc", "30s", "NaN", "inf", "1e300", "2015-06-03"] {
            assert_eq!(
                parse_time(text),
                Err(format!("cannot parse {text:?} to a valid timestamp")),
                "{text}"
            );
        }
    }

    #[test]
    fn spans_are_seconds_or_durations() {
        for (text, millis) in
            [("5m", 300_000), ("1.5", 1_500), ("-5", -5_000), ("0", 0), ("1h30m", 5_400_000)]
        {
            assert_eq!(parse_span(text), Ok(Span(millis)), "{text}");
        }
        for (text, error) in [
            ("", "cannot parse \"\" to a valid duration"),
            ("x", "cannot parse \"x\" to a valid duration"),
            ("1e30", "cannot parse \"1e30\" to a valid duration. It overflows int64"),
            ("NaN", "cannot parse \"NaN\" to a valid duration. It overflows int64"),
        ] {
            assert_eq!(parse_span(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn limits_speak_go() {
        assert_eq!(parse_limit("7"), Ok(7));
        for (text, error) in [
            ("-1", "limit must be non-negative"),
            ("abc", "strconv.Atoi: parsing \"abc\": invalid syntax"),
            ("99999999999999999999", "strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
        ] {
            assert_eq!(parse_limit(text), Err(error.to_owned()));
        }
    }
}
