//! An alert on its way to an alertmanager.

use std::collections::BTreeMap;

use model::Labels;
use serde::{Deserialize, Serialize};

/// An alert as a rule gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What names it; `alertname` is among them.
    pub labels: Labels,
    /// Texts for people.
    pub annotations: Labels,
    /// When it began to fire, milliseconds since the Unix epoch.
    pub starts_at_ms: i64,
    /// When it was resolved, or until when it counts as firing unless it is sent again.
    pub ends_at_ms: i64,
    /// Where the rule can be looked at.
    pub generator_url: String,
}

/// The alert as Alertmanager's API v2 takes it and as the journal keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PostedAlert {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    starts_at: jiff::Timestamp,
    ends_at: jiff::Timestamp,
    #[serde(rename = "generatorURL", default)]
    generator_url: String,
}

impl From<&Alert> for PostedAlert {
    fn from(alert: &Alert) -> Self {
        Self {
            labels: owned(&alert.labels),
            annotations: owned(&alert.annotations),
            starts_at: timestamp(alert.starts_at_ms),
            ends_at: timestamp(alert.ends_at_ms),
            generator_url: alert.generator_url.clone(),
        }
    }
}

impl From<PostedAlert> for Alert {
    fn from(posted: PostedAlert) -> Self {
        Self {
            labels: Labels::from_pairs(posted.labels),
            annotations: Labels::from_pairs(posted.annotations),
            starts_at_ms: posted.starts_at.as_millisecond(),
            ends_at_ms: posted.ends_at.as_millisecond(),
            generator_url: posted.generator_url,
        }
    }
}

fn owned(labels: &Labels) -> BTreeMap<String, String> {
    labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Times beyond the year 9999 or before -9999 become the nearest that can be written.
fn timestamp(millis: i64) -> jiff::Timestamp {
    let nearest = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_millisecond(millis).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_posted_form_is_alertmanagers_and_comes_back() {
        let alert = Alert {
            labels: Labels::from_pairs([("alertname", "A")]),
            annotations: Labels::from_pairs([("summary", "s")]),
            starts_at_ms: 1_700_000_000_123,
            ends_at_ms: 1_700_000_240_000,
            generator_url: "http://x/graph".to_owned(),
        };
        let json = serde_json::to_string(&PostedAlert::from(&alert)).expect("writable");
        assert_eq!(
            json,
            r#"{"labels":{"alertname":"A"},"annotations":{"summary":"s"},"startsAt":"2023-11-14T22:13:20.123Z","endsAt":"2023-11-14T22:17:20Z","generatorURL":"http://x/graph"}"#
        );
        let back: PostedAlert = serde_json::from_str(&json).expect("readable");
        assert_eq!(Alert::from(back), alert);
    }
}
