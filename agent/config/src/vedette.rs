//! `vedette`: what an agent and a federation node add to a prometheus.yml.

use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Matcher, NameValidation};
use notifier::AlertmanagerConfig;
use yaml::{Checker, View};

use crate::alerting;

/// `vedette`, whole: one file may serve either binary, each reads its section.
#[derive(Clone, Debug, PartialEq)]
pub struct VedetteConfig {
    /// `node_name`; `None`: the flag, else the host's name.
    pub node_name: Option<String>,
    /// What an agent reads.
    pub agent: AgentSection,
    /// What a federation node reads.
    pub federation: FederationSection,
}

/// What an agent reads.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSection {
    /// `ephemeral`: silence means gone rather than down.
    pub ephemeral: bool,
    /// `ha_group`: set where two agents share one name on purpose.
    pub ha_group: Option<String>,
    /// `federation`: the pair that everything is shipped to.
    pub federation: Option<FederationLink>,
    /// `host`: this machine's own metrics.
    pub host: HostSection,
}

/// `federation`: the way to a pair.
#[derive(Clone, Debug, PartialEq)]
pub struct FederationLink {
    /// `endpoints`: `host:port` of each replica's gRPC listener, one or two.
    pub endpoints: Vec<String>,
    /// `tls_config`: mutual TLS; without it connections are plain.
    pub tls: Option<PeerTls>,
    /// `flush_interval`, 1 ms to 60 s.
    pub flush_interval: Duration,
    /// `local_only`: selectors of series that are not shipped.
    pub local_only: Vec<Vec<Matcher>>,
    /// `alertmanagers`: the pair's nodes as alertmanagers; alerts to them carry the label `agent`.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// Files of mutual TLS, PEM, absolute or below the configuration's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTls {
    /// Authorities that the other side's certificate is checked against.
    pub ca: PathBuf,
    /// Our own certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Name that the other side's certificate must carry, where it is not its host.
    pub server_name: Option<String>,
}

/// `host`: this machine's own metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSection {
    /// `enabled`; true unless the file says otherwise.
    pub enabled: bool,
    /// `interval`; `None`: the global scrape interval.
    pub interval: Option<Duration>,
    /// `collectors`, by name; all where the file names none.
    pub collectors: Vec<String>,
}

/// What a federation node reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FederationSection {
    /// `pair`: the members of this node's pair.
    pub pair: Option<Pair>,
    /// `roles`; empty: the flag, else all but witness.
    pub roles: Vec<String>,
    /// `alertmanager_config`: the alertmanager.yml, absolute or below the configuration's folder.
    pub alertmanager_config: Option<PathBuf>,
    /// `rules.hold`: how long at most an alert is held while its agent is silent.
    pub rules_hold: Duration,
    /// `rules.query_offset`; `None`: the uplink's flush interval and 5 s.
    pub rules_query_offset: Option<Duration>,
}

/// `pair`: the members of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// `name`.
    pub name: String,
    /// `replicas`: one or two, names and addresses unique.
    pub replicas: Vec<Node>,
    /// `witness`.
    pub witness: Option<Node>,
    /// `tls_config`: mutual TLS between members.
    pub tls: Option<PeerTls>,
}

/// One member of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `name`, as its `--node-name` says.
    pub name: String,
    /// `grpc`: `host:port` of its gRPC listener.
    pub grpc: String,
}

/// Default of [`FederationLink::flush_interval`].
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Default of [`FederationSection::rules_hold`].
const RULES_HOLD: Duration = Duration::from_secs(3600);

impl VedetteConfig {
    pub(crate) fn read(view: View<'_>, names: NameValidation, base: &Path, check: &mut Checker) -> Self {
        let text = |key: &str| view.text(key).map(str::to_owned);
        let host = view.map("host");
        let rules = view.map("rules");
        Self {
            node_name: text("node_name"),
            agent: AgentSection {
                ephemeral: view.flag("ephemeral").unwrap_or(false),
                ha_group: text("ha_group"),
                federation: link(view.map("federation"), names, base, check),
                host: HostSection {
                    enabled: host.flag("enabled").unwrap_or(true),
                    interval: host.duration("interval"),
                    collectors: if host.has("collectors") {
                        host.texts("collectors")
                    } else {
                        host::COLLECTORS.iter().map(ToString::to_string).collect()
                    },
                },
            },
            federation: FederationSection {
                pair: pair(view.map("pair"), base),
                roles: view.texts("roles"),
                alertmanager_config: view
                    .text("alertmanager_config")
                    .filter(|path| !path.is_empty())
                    .map(|path| yaml::join(base, path)),
                rules_hold: rules.duration("hold").unwrap_or(RULES_HOLD),
                rules_query_offset: rules.duration("query_offset"),
            },
        }
    }
}

fn link(view: View<'_>, names: NameValidation, base: &Path, check: &mut Checker) -> Option<FederationLink> {
    view.node()?;
    let mut local_only = Vec::new();
    for node in view.items("local_only") {
        match promql::parse_metric_selector(node.text().unwrap_or_default()) {
            Ok(matchers) if matchers.iter().all(|matcher| matcher.matches("")) => check.error(
                node.at,
                "no series selector: it passes every series; expected one like up{job=\"x\"}",
            ),
            Ok(matchers) => local_only.push(matchers),
            Err(error) => check
                .error(node.at, format!("no series selector: {error}; expected one like up{{job=\"x\"}}")),
        }
    }
    Some(FederationLink {
        endpoints: view.texts("endpoints"),
        tls: peer_tls(view.map("tls_config"), base),
        flush_interval: view.duration("flush_interval").unwrap_or(FLUSH_INTERVAL),
        local_only,
        alertmanagers: view
            .list("alertmanagers")
            .map(|entry| alerting::group(entry, names, base, check))
            .collect(),
    })
}

fn peer_tls(view: View<'_>, base: &Path) -> Option<PeerTls> {
    view.node()?;
    let path = |key: &str| yaml::join(base, view.text_or_empty(key));
    Some(PeerTls {
        ca: path("ca_file"),
        cert: path("cert_file"),
        key: path("key_file"),
        server_name: view.text("server_name").filter(|name| !name.is_empty()).map(str::to_owned),
    })
}

fn pair(view: View<'_>, base: &Path) -> Option<Pair> {
    view.node()?;
    let node = |member: View<'_>| Node {
        name: member.text_or_empty("name").to_owned(),
        grpc: member.text_or_empty("grpc").to_owned(),
    };
    Some(Pair {
        name: view.text("name").filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
        replicas: view.list("replicas").map(node).collect(),
        witness: view.has("witness").then(|| node(view.map("witness"))),
        tls: peer_tls(view.map("tls_config"), base),
    })
}
