//! `/search/*`: metric names, label names and label values by parts of them, a batch of results a line.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::header;
use model::{METRIC_NAME, Metadata};
use serde::Serialize;
use storage::{Coverage, LabelQuery};

use crate::error::{ApiError, ErrorKind};
use crate::json;
use crate::params::{Params, flag};
use crate::reply::coverage_warnings;
use crate::similarity::Likeness;
use crate::state::Inner;

/// Results of an answer, and of a line, where the request does not say.
const USUAL: usize = 100;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MetricNames,
    LabelNames,
    LabelValues,
}

/// One result.
#[derive(Serialize)]
struct Found<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    results: &'a [Found<'a>],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Trailer {
    status: &'static str,
    has_more: bool,
}

/// What a request asks for.
struct Asked<'a> {
    query: LabelQuery,
    terms: Vec<&'a str>,
    likeness: Likeness,
    by_score: bool,
    descending: bool,
    limit: usize,
    batch: usize,
}

impl<'a> Asked<'a> {
    fn read(params: &'a Params, kind: Kind, most: usize) -> Result<Self, ApiError> {
        let range = params.range()?;
        let matcher_sets = params.matcher_sets().map_err(ApiError::bad_data)?;
        let threshold = match params.get("fuzz_threshold") {
            "" => 0,
            text => text.parse::<u8>().ok().filter(|percent| *percent <= 100).ok_or_else(|| {
                ApiError::bad_data(format!("invalid fuzz_threshold {text:?}: must be 0-100"))
            })?,
        };
        let is_winkler = match params.get("fuzz_alg") {
            "" | "subsequence" => false,
            "jarowinkler" => true,
            other => {
                let what =
                    format!("unsupported fuzz_alg {other:?}: must be \"subsequence\" or \"jarowinkler\"");
                return Err(ApiError::bad_data(what));
            }
        };
        let case_sensitive = match params.get("case_sensitive") {
            "" => true,
            text => flag(text).ok_or_else(|| {
                ApiError::bad_data(format!("invalid case_sensitive {text:?}: must be boolean"))
            })?,
        };
        let (by_score, descending) = order(params, kind)?;
        let number = |name: &str| match params.get(name) {
            "" => Ok::<_, ApiError>(USUAL),
            text => {
                let number = text.parse::<usize>().map_err(|_| {
                    ApiError::bad_data(format!("invalid {name} {text:?}: must be non-negative integer"))
                })?;
                Ok(if number == 0 { USUAL } else { number })
            }
        };
        let (limit, batch) = (number("limit")?, number("batch_size")?);
        if most > 0 && limit > most && !params.get("limit").is_empty() {
            return Err(ApiError::bad_data(format!("limit {limit} exceeds the maximum of {most}")));
        }
        Ok(Self {
            query: LabelQuery { matcher_sets, range, limit: usize::MAX },
            terms: params.all("search[]").filter(|term| !term.is_empty()).collect(),
            likeness: Likeness { threshold: f64::from(threshold) / 100.0, is_winkler, case_sensitive },
            by_score,
            descending,
            limit: if most > 0 { limit.min(most) } else { limit },
            batch,
        })
    }

    /// The best score of a name; none where no term finds it.
    fn score(&self, name: &str) -> Option<f64> {
        if self.terms.is_empty() {
            return Some(1.0);
        }
        self.terms.iter().filter_map(|term| self.likeness.of(term, name)).max_by(f64::total_cmp)
    }
}

/// Whether by score, and whether the other way round.
fn order(params: &Params, kind: Kind) -> Result<(bool, bool), ApiError> {
    let (by, direction) = (params.get("sort_by"), params.get("sort_dir"));
    if !direction.is_empty() && by.is_empty() {
        return Err(ApiError::bad_data("sort_dir is only valid when sort_by is set"));
    }
    let descending = match direction {
        "" | "asc" => false,
        "dsc" => true,
        other => {
            let what = format!("invalid sort_dir {other:?}: must be \"asc\" or \"dsc\"");
            return Err(ApiError::bad_data(what));
        }
    };
    let what = match kind {
        Kind::MetricNames => "metric_names",
        Kind::LabelNames => "label_names",
        Kind::LabelValues => "label_values",
    };
    match by {
        "" | "alpha" => Ok((false, descending)),
        // The best first, unless the other way round is asked for.
        "score" => Ok((true, direction != "asc")),
        other => {
            Err(ApiError::bad_data(format!("invalid sort_by {other:?} for {what}: must be alpha or score")))
        }
    }
}

/// Answers a search.
pub(crate) async fn search(state: &Inner, kind: Kind, params: &Params) -> Result<Response, ApiError> {
    let Some(most) = state.parts.options.search_max else {
        return Err(ApiError::new(ErrorKind::Unavailable, "search API disabled"));
    };
    let asked = Asked::read(params, kind, most)?;
    let label = params.get("label");
    if kind == Kind::LabelValues && label.is_empty() {
        return Err(ApiError::bad_data("label parameter is required"));
    }
    let query = asked.query.clone();
    let querier = state.parts.querier.as_ref();
    let (names, coverage) = match kind {
        Kind::MetricNames => querier.label_values(METRIC_NAME, query).await?,
        Kind::LabelNames => querier.label_names(query).await?,
        Kind::LabelValues => querier.label_values(label, query).await?,
    };
    let mut found: Vec<(&String, f64)> =
        names.iter().filter_map(|name| Some((name, asked.score(name)?))).collect();
    if asked.by_score {
        found.sort_by(|a, b| if asked.descending { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    } else if asked.descending {
        found.reverse();
    }
    let has_more = found.len() > asked.limit;
    found.truncate(asked.limit);
    let said = match (kind, is_on(params, "include_metadata")?) {
        (Kind::MetricNames, true) => said(state),
        _ => BTreeMap::new(),
    };
    let scored = is_on(params, "include_score")?;
    let shown: Vec<Found<'_>> = found
        .into_iter()
        .map(|(name, score)| {
            let said = said.get(name);
            Found {
                name,
                score: scored.then_some(score),
                kind: said.map(|said| said.metric_type.as_str()),
                help: said.map(|said| &*said.help),
                unit: said.map(|said| &*said.unit),
            }
        })
        .collect();
    let body = lines(&shown, asked.batch, &coverage, has_more)?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson; charset=utf-8")], body).into_response())
}

fn is_on(params: &Params, name: &str) -> Result<bool, ApiError> {
    match params.get(name) {
        "" => Ok(false),
        text => {
            flag(text).ok_or_else(|| ApiError::bad_data(format!("invalid {name} {text:?}: must be boolean")))
        }
    }
}

/// What some target, else some sender, says about each metric.
fn said(state: &Inner) -> BTreeMap<String, Metadata> {
    let entries = state.parts.targets.as_ref().map_or_else(Vec::new, |targets| targets.metadata());
    let stored = state.parts.store.as_ref().map_or_else(Vec::new, |store| store.families());
    stored.into_iter().chain(entries.into_iter().map(|entry| (entry.metric, entry.metadata))).collect()
}

fn lines(found: &[Found<'_>], batch: usize, coverage: &Coverage, has_more: bool) -> Result<String, ApiError> {
    let failed = |error: serde_json::Error| ApiError::new(ErrorKind::Internal, error.to_string());
    let mut out = String::new();
    let mut warnings = coverage_warnings(coverage);
    // Without results there is one line all the same, for the warnings.
    let batches = found.chunks(batch.max(1)).chain(found.is_empty().then_some(found));
    for results in batches {
        let line = Line { results, warnings: std::mem::take(&mut warnings) };
        out.push_str(&json::to_json(&line).map_err(failed)?);
        out.push('\n');
    }
    out.push_str(&json::to_json(&Trailer { status: "success", has_more }).map_err(failed)?);
    out.push('\n');
    Ok(out)
}
