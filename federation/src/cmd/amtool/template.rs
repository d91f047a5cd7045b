//! `template render`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use serde::Deserialize;
use template::{AlertTemplates, Message, MessageAlert, Rendering};

use super::views::{Moment, Pairs, filled};
use super::{input, say};
use crate::kingpin::Call;

/// A message's data as files have it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Data {
    receiver: String,
    status: String,
    #[serde(deserialize_with = "filled")]
    alerts: Vec<DataAlert>,
    #[serde(rename = "notification_reason")]
    reason: String,
    #[serde(deserialize_with = "filled")]
    group_labels: Pairs,
    #[serde(deserialize_with = "filled")]
    common_labels: Pairs,
    #[serde(deserialize_with = "filled")]
    common_annotations: Pairs,
    #[serde(deserialize_with = "filled")]
    route_labels: Pairs,
    #[serde(rename = "externalURL")]
    external_url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DataAlert {
    status: String,
    #[serde(deserialize_with = "filled")]
    labels: Pairs,
    #[serde(deserialize_with = "filled")]
    annotations: Pairs,
    starts_at: Moment,
    ends_at: Moment,
    #[serde(rename = "generatorURL")]
    generator_url: String,
    fingerprint: String,
}

/// Prints what a template gives for the data of a file, or for an example.
pub(super) fn render(call: &Call) -> Result<()> {
    let globs: Vec<PathBuf> = call.texts("template.glob").into_iter().map(PathBuf::from).collect();
    let templates = AlertTemplates::load(&globs).map_err(anyhow::Error::msg)?;
    let now_ms = input::now_ms();
    let message = match call.text("template.data") {
        Some(file) => serde_json::from_str::<Data>(&input::read(Some(file))?)?.into_message(),
        None => example(now_ms),
    };
    let (text, rendering) =
        (call.text("template.text").unwrap_or_default(), Rendering::new(&message, now_ms));
    let rendered = match call.text("template.type") {
        Some("html") => templates.html(text, &rendering),
        _ => templates.text(text, &rendering),
    };
    say(&rendered.map_err(|error| anyhow!("{error}"))?);
    Ok(())
}

impl Data {
    fn into_message(self) -> Message {
        let alert = |it: DataAlert| MessageAlert {
            resolved: it.status == "resolved",
            labels: it.labels,
            annotations: it.annotations,
            starts_at: it.starts_at.0,
            ends_at: it.ends_at.0,
            generator_url: it.generator_url,
            fingerprint: it.fingerprint,
        };
        Message {
            receiver: self.receiver,
            status: self.status,
            alerts: self.alerts.into_iter().map(alert).collect(),
            reason: self.reason,
            group_labels: self.group_labels,
            common_labels: self.common_labels,
            common_annotations: self.common_annotations,
            route_labels: self.route_labels,
            external_url: self.external_url,
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Pairs {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
}

/// The example that amtool renders: one alert that fires and one that is over.
fn example(now_ms: i64) -> Message {
    const LABELS: [(&str, &str); 2] =
        [("commonlabelkey1", "commonlabelvalue1"), ("commonlabelkey2", "commonlabelvalue2")];
    const ANNOTATIONS: [(&str, &str); 2] = [
        ("commonannotationkey1", "commonannotationvalue1"),
        ("commonannotationkey2", "commonannotationvalue2"),
    ];
    let alert = |resolved, number, minutes: i64, labels: &[_], annotations: &[_]| MessageAlert {
        resolved,
        labels: pairs(&[labels, &LABELS].concat()),
        annotations: pairs(&[annotations, &ANNOTATIONS].concat()),
        starts_at: now_ms - minutes * 60_000,
        ends_at: now_ms,
        generator_url: "https://generatorurl.com".to_owned(),
        fingerprint: format!("fingerprint{number}"),
    };
    let first = [("label1", "value1"), ("label2", "value2"), ("instance", "foo.bar:1234")];
    let second = [("foo", "bar"), ("baz", "qux")];
    Message {
        receiver: "receiver".to_owned(),
        status: "alertstatus".to_owned(),
        alerts: vec![
            alert(false, 1, 5, &first, &[("annotation1", "value1"), ("annotation2", "value2")]),
            alert(true, 2, 10, &second, &[("aaa", "bbb"), ("ccc", "ddd")]),
        ],
        reason: String::new(),
        group_labels: pairs(&[
            ("grouplabelkey1", "grouplabelvalue1"),
            ("grouplabelkey2", "grouplabelvalue2"),
        ]),
        common_labels: pairs(&LABELS),
        common_annotations: pairs(&ANNOTATIONS),
        route_labels: Pairs::new(),
        external_url: "https://example.com".to_owned(),
    }
}
