//! `/federate`: the newest sample of each series that passes, as a classic text page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Request, StatusCode, header};
use model::{INSTANCE, Labels, METRIC_NAME, Sample, is_stale};
use storage::{Select, TimeRange};

use crate::error::ApiError;
use crate::json;
use crate::params::Params;
use crate::reply::coverage_warnings;
use crate::state::{ApiState, Inner};

/// How a page writes names that the classic format does not allow.
#[derive(Clone, Copy, PartialEq)]
enum Names {
    /// `_` for every such character.
    Underscores,
    /// Quoted, as they are.
    Quoted,
}

pub(crate) async fn federate(State(state): State<ApiState>, request: Request<Body>) -> Response {
    let names = Names::accepted(request.headers());
    let params = match Params::read(request, state.0.parts.options.body_max).await {
        Ok(params) => params,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let mut sets = Vec::new();
    for text in params.all("match[]") {
        match promql::parse_metric_selector(text) {
            Ok(set) => sets.push(set),
            Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
        }
    }
    match newest(&state.0, sets).await {
        Ok(samples) => {
            let page = write_page(&samples, &state.0.parts.config.external_labels(), names);
            ([(header::CONTENT_TYPE, names.content_type())], page).into_response()
        }
        Err(error) => {
            state.0.metrics.federation_errors.inc();
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

/// The newest sample of every series within the lookback, by metric name, then labels; stale series are
/// left out: a text page cannot say that a series ended.
async fn newest(
    state: &Inner,
    sets: Vec<Vec<model::Matcher>>,
) -> Result<BTreeMap<(String, Labels), Sample>, ApiError> {
    let now = state.parts.clock.now_ms();
    let lookback = i64::try_from(state.parts.options.lookback.as_millis()).unwrap_or(i64::MAX);
    let range = TimeRange { start: now.saturating_sub(lookback), end: now };
    let mut newest = BTreeMap::new();
    for matchers in sets {
        let select = Select { matchers, range, samples_max: state.parts.options.samples_max };
        let found = state.parts.querier.select(select).await?;
        let warnings = coverage_warnings(&found.coverage);
        state.metrics.federation_warnings.inc_by(warnings.len() as u64);
        for warning in warnings {
            tracing::debug!(%warning, "federation answer is incomplete");
        }
        // A text page holds no native histograms, and what one follows is not the newest.
        let ended = |labels: &Labels, before: i64| {
            let at = found.histograms.binary_search_by(|one| one.labels.cmp(labels));
            let last = at.ok().and_then(|at| found.histograms[at].samples.last());
            last.is_some_and(|last| last.timestamp > before)
        };
        for series in found.series {
            match series.samples.last() {
                Some(sample) if !is_stale(sample.value) && !ended(&series.labels, sample.timestamp) => {
                    let name = series.labels.metric_name().to_owned();
                    newest.insert((name, series.labels), *sample);
                }
                _ => {}
            }
        }
    }
    Ok(newest)
}

fn write_page(samples: &BTreeMap<(String, Labels), Sample>, external: &Labels, names: Names) -> String {
    let mut page = String::new();
    let mut family = "";
    for ((name, labels), sample) in samples {
        if name.is_empty() {
            tracing::warn!(%labels, "ignoring a metric without name during federation");
            continue;
        }
        let shown = names.write(name);
        if name != family {
            let _ = writeln!(page, "# TYPE {} untyped", names.quote(&shown));
            family = name;
        }
        write_series(&mut page, &shown, labels, external, names);
        let _ = writeln!(page, " {} {}", json::general(sample.value), sample.timestamp);
    }
    page
}

/// A series with the external labels that it lacks. An `instance` that neither has is written empty, so
/// that the scraping side does not put its own in that place.
fn write_series(page: &mut String, name: &str, labels: &Labels, external: &Labels, names: Names) {
    let own = labels.pairs().filter(|(name, _)| *name != METRIC_NAME);
    let instance = (!external.has(INSTANCE)).then_some((INSTANCE, ""));
    let added = external.pairs().chain(instance).filter(|(name, _)| !labels.has(name));
    let mut added: Vec<_> = added.collect();
    added.sort_unstable();
    let pairs = own
        .chain(added)
        .map(|(name, value)| format!("{}=\"{}\"", names.quote(&names.write(name)), escape(value)));
    let quoted = names.quote(name);
    if quoted == name {
        let _ = write!(page, "{name}{{{}}}", pairs.collect::<Vec<_>>().join(","));
    } else {
        let _ = write!(page, "{{{}}}", std::iter::once(quoted).chain(pairs).collect::<Vec<_>>().join(","));
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Names {
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
        if accept.contains("escaping=allow-utf-8") { Self::Quoted } else { Self::Underscores }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Underscores => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Self::Quoted => "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
        }
    }

    fn write(self, name: &str) -> String {
        match self {
            Self::Quoted => name.to_owned(),
            Self::Underscores => name
                .char_indices()
                .map(|(at, c)| {
                    let allowed =
                        c.is_ascii_alphabetic() || c == '_' || c == ':' || (at > 0 && c.is_ascii_digit());
                    if allowed { c } else { '_' }
                })
                .collect(),
        }
    }

    /// The name in quotes where it needs them.
    fn quote(self, name: &str) -> String {
        if model::is_valid_legacy_metric_name(name) {
            name.to_owned()
        } else {
            format!("\"{}\"", escape(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(names: Names) -> String {
        let external = Labels::from_pairs([("region", "eu"), ("replica", "a")]);
        let series = [
            (Labels::from_pairs([("__name__", "up"), ("instance", "h:1"), ("region", "us")]), 1.0),
            (Labels::from_pairs([("__name__", "a.b"), ("path", "C:\\ \"x\"\n")]), 1e7),
            (Labels::from_pairs([("job", "nameless")]), 2.0),
        ];
        let samples = series
            .into_iter()
            .map(|(labels, value)| {
                ((labels.metric_name().to_owned(), labels), Sample::new(1_700_000_000_123, value))
            })
            .collect();
        write_page(&samples, &external, names)
    }

    #[test]
    fn external_labels_fill_what_a_series_lacks() {
        assert_eq!(
            page(Names::Underscores),
            "# TYPE a_b untyped\n\
             a_b{path=\"C:\\\\ \\\"x\\\"\\n\",instance=\"\",region=\"eu\",replica=\"a\"} 1e+07 1700000000123\n\
             # TYPE up untyped\n\
             up{instance=\"h:1\",region=\"us\",replica=\"a\"} 1 1700000000123\n"
        );
    }

    #[test]
    fn a_reader_of_utf_8_gets_names_as_they_are() {
        let text = page(Names::Quoted);
        assert!(text.starts_with("# TYPE \"a.b\" untyped\n{\"a.b\",path="), "{text}");
    }
}
