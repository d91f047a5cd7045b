//! `vedette`: our own key.

use yaml::{Checker, Schema, Type, View, field};

use super::alerting::ALERTMANAGERS;

/// Files of a mutual TLS connection.
static PEER_TLS: Schema = Schema::new(
    "tls_config",
    &[
        field("ca_file", Type::Text),
        field("cert_file", Type::Text),
        field("key_file", Type::Text),
        field("server_name", Type::Text),
    ],
)
.verify(peer_tls);

fn peer_tls(view: View<'_>, check: &mut Checker) {
    for key in ["ca_file", "cert_file", "key_file"] {
        if !view.filled(key) {
            check.error(
                view.value_at(key),
                format!("tls_config without {key}; expected ca_file, cert_file and key_file"),
            );
        }
    }
}

static FEDERATION: Schema = Schema::new(
    "federation",
    &[
        field("endpoints", Type::List(&Type::Check(host_port))),
        field("tls_config", Type::Object(&PEER_TLS)),
        field("flush_interval", Type::Duration),
        field("local_only", Type::TEXTS).later("keeping series local"),
        field("alertmanagers", Type::List(&Type::Object(&ALERTMANAGERS)))
            .empty_item("empty or null alertmanagers section"),
    ],
)
.verify(federation);

fn federation(view: View<'_>, check: &mut Checker) {
    let endpoints = view.items("endpoints");
    if endpoints.is_empty() {
        check.error(view.value_at("endpoints"), "federation without endpoints; expected a list of host:port");
    }
    if endpoints.len() > 2 {
        check.error(endpoints[2].at, "more than two endpoints; expected one for each replica of the pair");
    }
    for (at, node) in endpoints.iter().enumerate() {
        if endpoints.iter().take(at).any(|before| before.text() == node.text()) {
            check.error(
                node.at,
                format!("endpoint {} is listed twice; expected each replica once", node.describe()),
            );
        }
    }
    let flush = view.duration("flush_interval");
    if flush.is_some_and(|flush| flush.is_zero() || flush > std::time::Duration::from_secs(60)) {
        check.error(view.value_at("flush_interval"), "flush_interval is out of range; expected 1ms to 60s");
    }
}

static HOST: Schema = Schema::new(
    "host",
    &[
        field("enabled", Type::Bool),
        field("interval", Type::Duration),
        field("collectors", Type::List(&Type::Check(collector))),
    ],
)
.verify(host_section);

fn collector(text: &str) -> Result<(), String> {
    match host::COLLECTORS.contains(&text) {
        true => Ok(()),
        false => Err(format!("unknown collector {text:?}; expected one of {}", host::COLLECTORS.join(", "))),
    }
}

fn host_section(view: View<'_>, check: &mut Checker) {
    if view.duration("interval").is_some_and(|interval| interval.is_zero()) {
        check.error(view.value_at("interval"), "host interval is 0; expected a duration like 15s");
    }
}

static NODE: Schema =
    Schema::new("a federation node", &[field("name", Type::Text), field("grpc", Type::Check(host_port))])
        .verify(node);

fn node(view: View<'_>, check: &mut Checker) {
    for key in ["name", "grpc"] {
        if !view.filled(key) {
            check.error(
                view.value_at(key),
                format!("a node without {key}; expected name and grpc (host:port)"),
            );
        }
    }
}

static PAIR: Schema = Schema::new(
    "pair",
    &[
        field("name", Type::Text),
        field("replicas", Type::List(&Type::Object(&NODE))),
        field("witness", Type::Object(&NODE)),
        field("tls_config", Type::Object(&PEER_TLS)),
    ],
)
.verify(pair);

fn pair(view: View<'_>, check: &mut Checker) {
    let count = view.items("replicas").len();
    if count == 0 || count > 2 {
        check.error(view.value_at("replicas"), format!("{count} replicas; expected one or two"));
    }
    let mut names: Vec<&str> = Vec::new();
    let mut addresses: Vec<&str> = Vec::new();
    for member in view.list("replicas").chain(view.has("witness").then(|| view.map("witness"))) {
        for (key, seen) in [("name", &mut names), ("grpc", &mut addresses)] {
            let value = member.text_or_empty(key);
            if seen.contains(&value) {
                check.error(
                    member.value_at(key),
                    format!("{key} {value:?} is used twice in the pair; expected unique ones"),
                );
            }
            seen.push(value);
        }
    }
}

static RULES: Schema =
    Schema::new("rules", &[field("hold", Type::Duration), field("query_offset", Type::Duration)]);

const ROLES: &[&str] = &["store", "query", "rules", "alertmanager", "witness"];

pub(super) static VEDETTE: Schema = Schema::new(
    "vedette",
    &[
        field("node_name", Type::Text),
        field("ephemeral", Type::Bool),
        field("ha_group", Type::Text),
        field("federation", Type::Object(&FEDERATION)),
        field("host", Type::Object(&HOST)),
        field("pair", Type::Object(&PAIR)),
        field("roles", Type::List(&Type::Choice(ROLES))),
        field("alertmanager_config", Type::Text),
        field("rules", Type::Object(&RULES)),
    ],
)
.verify(vedette);

fn vedette(view: View<'_>, check: &mut Checker) {
    for key in ["node_name", "ha_group"] {
        if view.text(key).is_some_and(|text| text.trim().is_empty()) {
            check.error(view.value_at(key), format!("{key} is empty; expected a name"));
        }
    }
    let roles = view.texts("roles");
    if view.has("roles") && roles.is_empty() {
        check.error(view.value_at("roles"), format!("roles is empty; expected some of {}", ROLES.join(", ")));
    }
    if roles.iter().any(|role| role == "witness") && roles.len() > 1 {
        check.error(view.value_at("roles"), "witness with other roles; expected witness alone");
    }
}

fn host_port(text: &str) -> Result<(), String> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.starts_with('[') == host.ends_with(']') && !host.contains(['/', ' ', '@']);
        let single = host.starts_with('[') || !host.contains(':');
        !host.is_empty() && bare && single && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if good { Ok(()) } else { Err(format!("{text:?} is no address; expected host:port")) }
}
