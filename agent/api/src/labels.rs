//! `/series`, `/labels`, `/label/<name>/values`.

use storage::LabelQuery;

use crate::error::ApiError;
use crate::json;
use crate::params::Params;
use crate::reply::Reply;
use crate::state::{Answer, Inner};

/// `/api/v1/series`: the label sets that pass.
pub(crate) fn series<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        if params.all("match[]").next().is_none() {
            return Err(ApiError::bad_data("no match[] parameter provided"));
        }
        // Only here does Prometheus name the parameter.
        let (query, limit) = label_query(params, |what| ApiError::parameter("match[]", what))?;
        let (mut found, coverage) = state.parts.querier.series(query).await?;
        let cut = truncate(&mut found, limit);
        Ok(Reply::list(found, json::write_labels).truncated(cut).cover(&coverage))
    })
}

/// `/api/v1/labels`: the label names of the series that pass.
pub(crate) fn names<'a>(state: &'a Inner, params: &'a Params) -> Answer<'a> {
    Box::pin(async move {
        let (query, limit) = label_query(params, ApiError::bad_data)?;
        let (mut names, coverage) = state.parts.querier.label_names(query).await?;
        let cut = truncate(&mut names, limit);
        Ok(Reply::list(names, |out, name| json::write_string(out, name)).truncated(cut).cover(&coverage))
    })
}

/// `/api/v1/label/<name>/values`: the values of one label.
pub(crate) async fn values(state: &Inner, name: &str, params: &Params) -> Result<Reply, ApiError> {
    let name = unescape(name);
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {name:?}")));
    }
    let (query, limit) = label_query(params, ApiError::bad_data)?;
    let (mut values, coverage) = state.parts.querier.label_values(&name, query).await?;
    let cut = truncate(&mut values, limit);
    Ok(Reply::list(values, |out, value| json::write_string(out, value)).truncated(cut).cover(&coverage))
}

/// The common parameters, and the limit as asked. One entry more is asked for, to see whether there is one.
fn label_query(
    params: &Params,
    refuse: impl FnOnce(String) -> ApiError,
) -> Result<(LabelQuery, usize), ApiError> {
    let limit = params.limit()?;
    let range = params.range()?;
    let matcher_sets = params.matcher_sets().map_err(refuse)?;
    let ask = if limit == 0 { usize::MAX } else { limit.saturating_add(1) };
    Ok((LabelQuery { matcher_sets, range, limit: ask }, limit))
}

fn truncate<T>(found: &mut Vec<T>, limit: usize) -> bool {
    let cut = limit > 0 && found.len() > limit;
    if cut {
        found.truncate(limit);
    }
    cut
}

/// A label name from a path: `U__` starts one in which `_hex_` stands for a character and `__` for `_`.
/// What is not escaped that way stays as it is.
fn unescape(name: &str) -> String {
    name.strip_prefix("U__").and_then(unescape_rest).unwrap_or_else(|| name.to_owned())
}

fn unescape_rest(escaped: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.find('_')?;
        if end == 0 {
            out.push('_');
        } else {
            let digits = after.get(..end).filter(|digits| digits.len() <= 6)?;
            out.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
        }
        rest = &after[end + 1..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn names_are_unescaped_as_they_were_escaped() {
        for (escaped, name) in [
            ("job", "job"),
            ("U__my_2e_label", "my.label"),
            ("U__with__underscore", "with_underscore"),
            ("U___e9_t_e9_", "été"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__open_2e", "U__open_2e"),
            ("U__far_1234567_", "U__far_1234567_"),
        ] {
            assert_eq!(unescape(escaped), name, "{escaped}");
        }
    }
}
