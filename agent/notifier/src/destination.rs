//! One alertmanager, and what happens to an alert on its way there.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Client;
use model::{Labels, LabelsBuilder, RelabelConfig, relabel};

use crate::NotifierError;
use crate::alert::Alert;
use crate::config::{AlertmanagerConfig, NotifierConfig};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";
const AGENT: &str = "agent";
const EXPORTED_AGENT: &str = "exported_agent";

/// One alertmanager.
pub(crate) struct Destination {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) timeout: Duration,
    external: Labels,
    agent: Option<String>,
    relabel: Vec<RelabelConfig>,
    own_relabel: Vec<RelabelConfig>,
}

/// Every alertmanager of a configuration, by URL.
pub(crate) fn destinations(config: &NotifierConfig) -> Result<BTreeMap<String, Destination>, NotifierError> {
    let mut out = BTreeMap::new();
    let plain = config.alertmanagers.iter().map(|one| (one, None));
    let pair = config
        .pair
        .iter()
        .flat_map(|pair| pair.alertmanagers.iter().map(|one| (one, Some(pair.agent.clone()))));
    for (one, agent) in plain.chain(pair) {
        for url in urls(one) {
            let client = Client::new(&one.http)
                .map_err(|source| NotifierError::Client { url: url.clone(), source })?;
            let destination = Destination {
                url: url.clone(),
                client,
                timeout: one.timeout,
                external: config.external_labels.clone(),
                agent: agent.clone(),
                relabel: config.alert_relabel_configs.clone(),
                own_relabel: one.alert_relabel_configs.clone(),
            };
            out.insert(url, destination);
        }
    }
    Ok(out)
}

/// Addresses after relabelling; an alertmanager that relabelling drops is none.
fn urls(config: &AlertmanagerConfig) -> Vec<String> {
    let prefix = config.path_prefix.trim_matches('/');
    let path =
        if prefix.is_empty() { "/api/v2/alerts".to_owned() } else { format!("/{prefix}/api/v2/alerts") };
    let of = |address: &String, labels: &Labels| {
        let mut builder: LabelsBuilder = labels.to_builder();
        builder.set(ADDRESS, address.as_str()).set(SCHEME, config.scheme.as_str()).set(PATH, path.as_str());
        let labels = relabel::process(&builder.build(), &config.relabel_configs)?;
        let address = labels.get(ADDRESS)?;
        Some(format!("{}://{address}{}", labels.value(SCHEME), labels.value(PATH)))
    };
    config
        .statics
        .iter()
        .flat_map(|group| group.targets.iter().filter_map(|target| of(target, &group.labels)))
        .collect()
}

impl Destination {
    /// The alert as this alertmanager gets it; `None` when relabelling drops it.
    pub(crate) fn relabel(&self, alert: &Alert) -> Option<Alert> {
        let mut builder = alert.labels.to_builder();
        for label in self.external.iter().filter(|label| !alert.labels.has(&label.name)) {
            builder.set(label.name.clone(), label.value.clone());
        }
        if let Some(agent) = self.agent.as_ref().filter(|_| !self.external.has(AGENT)) {
            if let Some(own) = alert.labels.get(AGENT) {
                builder.set(EXPORTED_AGENT, own.to_owned());
            }
            builder.set(AGENT, agent.as_str());
        }
        let labels = relabel::process(&builder.build(), &self.relabel)?;
        let labels = relabel::process(&labels, &self.own_relabel)?;
        Some(Alert { labels, ..alert.clone() }).filter(|alert| !alert.labels.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use discovery::StaticConfig;

    use super::*;
    use crate::config::{PairConfig, Scheme};

    fn alert(pairs: &[(&str, &str)]) -> Alert {
        Alert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: Labels::empty(),
            starts_at_ms: 0,
            ends_at_ms: 0,
            generator_url: String::new(),
        }
    }

    fn one(target: &str) -> AlertmanagerConfig {
        let statics = vec![StaticConfig { targets: vec![target.to_owned()], labels: Labels::empty() }];
        AlertmanagerConfig {
            statics,
            path_prefix: "/am/".to_owned(),
            scheme: Scheme::Https,
            ..AlertmanagerConfig::default()
        }
    }

    #[test]
    fn a_pair_is_told_which_agent_and_others_are_not() {
        let config = NotifierConfig {
            external_labels: Labels::from_pairs([("site", "x"), ("alertname", "never")]),
            alertmanagers: vec![one("plain:1")],
            pair: Some(PairConfig { alertmanagers: vec![one("pair:1")], agent: "host".to_owned() }),
            ..NotifierConfig::default()
        };
        let destinations = destinations(&config).expect("valid");
        let sent = |url: &str| {
            destinations[url].relabel(&alert(&[("alertname", "A"), ("agent", "own")])).expect("kept").labels
        };
        let plain = Labels::from_pairs([("alertname", "A"), ("agent", "own"), ("site", "x")]);
        assert_eq!(sent("https://plain:1/am/api/v2/alerts"), plain);
        let pair = Labels::from_pairs([
            ("alertname", "A"),
            ("agent", "host"),
            ("exported_agent", "own"),
            ("site", "x"),
        ]);
        assert_eq!(sent("https://pair:1/am/api/v2/alerts"), pair);
    }
}
