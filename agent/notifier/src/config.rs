//! Checked settings of notification: Prometheus's `alerting` section.

use std::time::Duration;

use client::HttpClientConfig;
use discovery::StaticConfig;
use model::{Labels, RelabelConfig};

/// `http` or `https`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The word in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// One entry of `alerting.alertmanagers`. `api_version` has no field: `v2` is the only one there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerConfig {
    /// `scheme`.
    pub scheme: Scheme,
    /// `path_prefix`: what stands before `/api/v2/alerts`.
    pub path_prefix: String,
    /// `timeout` of one request.
    pub timeout: Duration,
    /// Authentication, TLS, proxy.
    pub http: HttpClientConfig,
    /// `static_configs`: the alertmanagers' addresses.
    pub statics: Vec<StaticConfig>,
    /// `relabel_configs`, over the alertmanagers' own labels.
    pub relabel_configs: Vec<RelabelConfig>,
    /// `alert_relabel_configs`, over the alerts that go to these alertmanagers only.
    pub alert_relabel_configs: Vec<RelabelConfig>,
}

impl AlertmanagerConfig {
    /// `timeout` where it is not written.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            path_prefix: String::new(),
            timeout: Self::TIMEOUT,
            http: HttpClientConfig::default(),
            statics: Vec::new(),
            relabel_configs: Vec::new(),
            alert_relabel_configs: Vec::new(),
        }
    }
}

/// Everything that notification takes from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifierConfig {
    /// `global.external_labels`: added to each alert that has no label of that name.
    pub external_labels: Labels,
    /// `alerting.alert_relabel_configs`, over every alert; an alert that they drop is not sent.
    pub alert_relabel_configs: Vec<RelabelConfig>,
    /// `alerting.alertmanagers`.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// The pair that this host ships to: a group of alertmanagers whose alerts carry `agent` too.
    pub pair: Option<PairConfig>,
}

/// The alertmanagers of a replica pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairConfig {
    /// How they are reached.
    pub alertmanagers: Vec<AlertmanagerConfig>,
    /// Value of the label `agent`, which alerts get unless `external_labels` sets it; an alert's own
    /// `agent` becomes `exported_agent`.
    pub agent: String,
}
