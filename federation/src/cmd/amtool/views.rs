//! What the API says, as amtool reads it and prints it as JSON.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since the Unix epoch; written as the API writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

impl Moment {
    /// `0001-01-01T00:00:00Z`, which stands for "not set".
    pub(super) const UNSET: Self = Self(-62_135_596_800_000);

    /// RFC 3339 with milliseconds.
    pub(super) fn written(self) -> String {
        let ms = self.0.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
        Timestamp::from_millisecond(ms)
            .map_or_else(|_| String::new(), |it| it.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::UNSET
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.written())
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::UNSET);
        }
        let time: Timestamp =
            text.parse().map_err(|error| serde::de::Error::custom(format!("no time: {text:?}: {error}")))?;
        Ok(Self(time.as_millisecond()))
    }
}

/// What may be `null`.
pub(super) fn filled<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Names with values.
pub(super) type Pairs = BTreeMap<String, String>;

/// An alert.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    #[serde(default, deserialize_with = "filled")]
    pub(super) annotations: Pairs,
    pub(super) ends_at: Moment,
    #[serde(default)]
    fingerprint: String,
    #[serde(default, deserialize_with = "filled")]
    receivers: Vec<serde_json::Value>,
    pub(super) starts_at: Moment,
    pub(super) status: AlertStatus,
    updated_at: Moment,
    #[serde(default, rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub(super) generator_url: String,
    #[serde(default, deserialize_with = "filled")]
    pub(super) labels: Pairs,
}

/// Whether it is sent, and why not.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertStatus {
    #[serde(default, deserialize_with = "filled")]
    inhibited_by: Vec<String>,
    #[serde(default, deserialize_with = "filled")]
    muted_by: Vec<String>,
    #[serde(default, deserialize_with = "filled")]
    silenced_by: Vec<String>,
    pub(super) state: String,
}

/// An alert to send.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewAlert {
    pub(super) annotations: Pairs,
    pub(super) ends_at: Moment,
    pub(super) starts_at: Moment,
    #[serde(rename = "generatorURL", skip_serializing_if = "String::is_empty")]
    pub(super) generator_url: String,
    pub(super) labels: Pairs,
}

/// A silence.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Silence {
    pub(super) id: String,
    status: serde_json::Value,
    pub(super) updated_at: Moment,
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Pairs::is_empty")]
    pub(super) annotations: Pairs,
    pub(super) comment: String,
    pub(super) created_by: String,
    pub(super) ends_at: Moment,
    pub(super) matchers: Vec<Matcher>,
    pub(super) starts_at: Moment,
}

/// A silence's matcher.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Matcher {
    #[serde(default = "yes")]
    pub(super) is_equal: bool,
    pub(super) is_regex: bool,
    pub(super) name: String,
    pub(super) value: String,
}

fn yes() -> bool {
    true
}

/// A silence to make or change.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewSilence {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) id: String,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub(super) annotations: Pairs,
    pub(super) comment: String,
    pub(super) created_by: String,
    pub(super) ends_at: Moment,
    pub(super) matchers: Vec<Matcher>,
    pub(super) starts_at: Moment,
}

/// The answer to a silence.
#[derive(Debug, Deserialize)]
pub(super) struct SilenceId {
    #[serde(rename = "silenceID")]
    pub(super) id: String,
}

/// The status.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) cluster: Cluster,
    pub(super) config: Config,
    pub(super) uptime: Moment,
    pub(super) version_info: VersionInfo,
}

/// The cluster.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Cluster {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default, deserialize_with = "filled")]
    pub(super) peers: Vec<Peer>,
    pub(super) status: String,
}

/// One of its members.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Peer {
    pub(super) address: String,
    pub(super) name: String,
}

/// The configuration in use.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Config {
    pub(super) original: String,
}

/// What runs there.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct VersionInfo {
    pub(super) branch: String,
    pub(super) build_date: String,
    pub(super) build_user: String,
    pub(super) go_version: String,
    pub(super) revision: String,
    pub(super) version: String,
}

/// JSON as Go's encoder writes it: what HTML would take for more than itself is escaped.
pub(super) fn go_json<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            other => out.push(other),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_come_in_any_form_and_go_out_in_one() {
        for (text, want) in [
            ("\"2026-01-02T03:04:05.678Z\"", Some("2026-01-02T03:04:05.678Z")),
            ("\"2026-01-02T05:04:05+02:00\"", Some("2026-01-02T03:04:05.000Z")),
            ("\"0001-01-01T00:00:00.000Z\"", Some("0001-01-01T00:00:00.000Z")),
            ("\"\"", Some("0001-01-01T00:00:00.000Z")),
            ("\"soon\"", None),
        ] {
            let moment: Option<Moment> = serde_json::from_str(text).ok();
            assert_eq!(moment.map(Moment::written).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn json_is_gos() {
        assert_eq!(go_json("<a&b>\u{2028}é\"").expect("JSON"), r#""\u003ca\u0026b\u003e\u2028é\"""#);
    }
}
