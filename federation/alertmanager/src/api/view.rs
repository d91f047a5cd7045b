//! Alerts as the API shows them, and the filters that two endpoints share.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use model::{MatchOp, Matcher};
use regex::Regex;
use serde::Serialize;

use super::{Params, error};
use crate::alert::{Alert, Fingerprint};
use crate::matcher::{MatcherMode, parse_matcher_in};
use crate::mutes::Muted;
use crate::time::format_ms;

#[derive(Clone, Serialize)]
pub(crate) struct NameView {
    pub(crate) name: String,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    inhibited_by: Vec<String>,
    muted_by: Vec<String>,
    silenced_by: Vec<String>,
    state: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AlertView {
    annotations: BTreeMap<String, String>,
    ends_at: String,
    pub(crate) fingerprint: String,
    receivers: Vec<NameView>,
    starts_at: String,
    status: StatusView,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    generator_url: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl AlertView {
    pub(crate) fn new(
        fingerprint: Fingerprint,
        alert: &Alert,
        muted: Muted,
        receivers: &[String],
        muted_by: &[String],
    ) -> Self {
        let suppressed = muted.is_muted() || !muted_by.is_empty();
        let status = StatusView {
            inhibited_by: muted.inhibited_by.iter().map(ToString::to_string).collect(),
            muted_by: muted_by.to_vec(),
            silenced_by: muted.silenced_by,
            state: if suppressed { "suppressed" } else { "active" },
        };
        Self {
            annotations: alert.annotations.clone(),
            ends_at: format_ms(alert.ends_at),
            fingerprint: fingerprint.to_string(),
            receivers: receivers.iter().map(|name| NameView { name: name.clone() }).collect(),
            starts_at: format_ms(alert.starts_at),
            status,
            updated_at: format_ms(alert.updated_at),
            generator_url: alert.generator_url.clone(),
            labels: alert.labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }
}

/// Which alerts a client wants.
pub(crate) struct Filter {
    matchers: Vec<Matcher>,
    receiver: Option<Regex>,
    active: bool,
    silenced: bool,
    inhibited: bool,
}

impl Filter {
    /// Reads the parameters; a bad one is answered.
    pub(crate) fn read(params: &Params, mode: MatcherMode) -> Result<Self, Box<Response>> {
        let receiver = match params.last("receiver") {
            None => None,
            Some(text) => Some(Regex::new(&format!("^(?:{text})$")).map_err(|wrong| {
                let message = format!("failed to parse receiver param: {wrong}");
                Box::new(error(StatusCode::BAD_REQUEST, &message))
            })?),
        };
        Ok(Self {
            matchers: read_matchers(params, mode)?,
            receiver,
            active: params.switch("active"),
            silenced: params.switch("silenced"),
            inhibited: params.switch("inhibited"),
        })
    }

    pub(crate) fn wants_receiver(&self, name: &str) -> bool {
        self.receiver.as_ref().is_none_or(|regex| regex.is_match(name))
    }

    pub(crate) fn wants_labels(&self, alert: &Alert) -> bool {
        self.matchers.iter().all(|matcher| passes(matcher, alert.labels.get(matcher.name())))
    }

    pub(crate) fn wants_state(&self, muted: &Muted) -> bool {
        (self.active || muted.is_muted())
            && (self.silenced || muted.silenced_by.is_empty())
            && (self.inhibited || muted.inhibited_by.is_none())
    }
}

/// The `filter` parameters.
pub(crate) fn read_matchers(params: &Params, mode: MatcherMode) -> Result<Vec<Matcher>, Box<Response>> {
    let read = |text: &String| parse_matcher_in(mode, text);
    let matchers = params.all("filter").iter().map(read).collect::<Result<_, _>>();
    matchers.map_err(|wrong| Box::new(error(StatusCode::BAD_REQUEST, &wrong)))
}

/// As Alertmanager filters: an empty value asks for presence or absence.
fn passes(matcher: &Matcher, value: Option<&str>) -> bool {
    let negative = matches!(matcher.op(), MatchOp::NotEqual | MatchOp::NotRegex);
    if matcher.value().is_empty() && value.is_some() == negative {
        return true;
    }
    matcher.matches(value.unwrap_or(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_value_asks_for_presence() {
        for (op, value, label, want) in [
            (MatchOp::Equal, "", None, true),
            (MatchOp::Equal, "", Some("x"), false),
            (MatchOp::NotEqual, "", None, false),
            (MatchOp::NotEqual, "", Some("x"), true),
            (MatchOp::Equal, "x", Some("x"), true),
            (MatchOp::Regex, "x|y", Some("y"), true),
            (MatchOp::NotRegex, "x|y", None, true),
        ] {
            let matcher = Matcher::new("a", op, value).expect("valid");
            assert_eq!(passes(&matcher, label), want, "{op}{value:?} on {label:?}");
        }
    }
}
