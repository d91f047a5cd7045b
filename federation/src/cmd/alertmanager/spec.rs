//! Alertmanager's flags.

use crate::kingpin::{Command, Flag, Kind, flag};

const NO_EFFECT: &str = "Taken for the sake of scripts; has no effect here.";

/// Flags about gossip and Go's runtime, of which there is neither here, and about work that is not done in rounds.
pub(super) const WITHOUT_EFFECT: [&str; 9] = [
    "auto-gomemlimit.ratio",
    "dispatch.maintenance-interval",
    "cluster.gossip-interval",
    "cluster.pushpull-interval",
    "cluster.tcp-timeout",
    "cluster.probe-timeout",
    "cluster.probe-interval",
    "cluster.reconnect-interval",
    "cluster.reconnect-timeout",
];

/// The default of `--cluster.listen-address`.
pub(super) const CLUSTER_ADDRESS: &str = "0.0.0.0:9094";

static FLAGS: [Flag; 45] = [
    flag("config.file", Kind::Text, "The configuration.").default("alertmanager.yml"),
    flag("storage.path", Kind::Text, "Folder for everything that is kept.").default("data/"),
    flag("data.retention", Kind::Duration, "How long silences that are over and what was notified are kept.")
        .default("120h"),
    flag("data.maintenance-interval", Kind::Duration, "How often what is over is thrown away.").default("15m"),
    flag("silences.max-silences", Kind::Number, "Most silences, those that are over included; 0: no limit.")
        .default("0"),
    flag("silences.max-silence-size-bytes", Kind::Number, "Most bytes of a silence; 0: no limit.").default("0"),
    flag("log.silences", Kind::Switch, "Log who sets and ends which silence."),
    flag("alerts.gc-interval", Kind::Duration, "How long alerts that are over are kept.").default("30m"),
    flag("alerts.per-alertname-limit", Kind::Number, "Most firing alerts of one name; 0: no limit.").default("0"),
    flag("dispatch.maintenance-interval", Kind::Duration, NO_EFFECT).default("30s"),
    flag("dispatch.start-delay", Kind::Duration, "How long after the start the first groups begin.").default("0s"),
    flag("web.listen-address", Kind::Texts, "Address to listen on for UI, API and metrics.").default(":9093"),
    flag("web.systemd-socket", Kind::Switch, "Sockets of systemd: not built, and refused."),
    flag("web.config.file", Kind::Text, "Prometheus's web-config file: TLS, headers, users.").default(""),
    flag("web.external-url", Kind::Text, "URL under which users reach this server.").default(""),
    flag("web.route-prefix", Kind::Text, "Path that all routes live under; the external URL's path where absent.")
        .default(""),
    flag("web.get-concurrency", Kind::Number, "Most GETs of the API at a time; 0: as many as there are cores, at least 8.")
        .default("0"),
    flag("web.timeout", Kind::Duration, "Longest time for a request to the API; 0: no limit.").default("0s"),
    flag("auto-gomemlimit.ratio", Kind::Number, NO_EFFECT).default("0.9"),
    flag("cluster.listen-address", Kind::Text, "Address to listen on for other members; empty: there are none.")
        .default(CLUSTER_ADDRESS),
    flag("cluster.advertise-address", Kind::Text, "Address under which other members reach this one.").default(""),
    flag("cluster.peer-name", Kind::Text, "This member's name; made up once and kept where absent.").default(""),
    flag("cluster.peer", Kind::Texts, "Address of another member."),
    flag("cluster.peer-timeout", Kind::Duration, "How long an announced notification of a leader that is gone is waited for.")
        .default("15s"),
    flag("cluster.peers-resolve-timeout", Kind::Duration, "How long names of other members may take to become known.")
        .default("15s"),
    flag("cluster.gossip-interval", Kind::Duration, NO_EFFECT).default("200ms"),
    flag("cluster.pushpull-interval", Kind::Duration, NO_EFFECT).default("1m0s"),
    flag("cluster.tcp-timeout", Kind::Duration, NO_EFFECT).default("10s"),
    flag("cluster.probe-timeout", Kind::Duration, NO_EFFECT).default("500ms"),
    flag("cluster.probe-interval", Kind::Duration, NO_EFFECT).default("1s"),
    flag("cluster.settle-timeout", Kind::Duration, "How long after the start a leader is waited for before this member notifies on its own; at least 5 s.")
        .default("1m0s"),
    flag("cluster.reconnect-interval", Kind::Duration, NO_EFFECT).default("10s"),
    flag("cluster.reconnect-timeout", Kind::Duration, NO_EFFECT).default("6h0m0s"),
    flag("cluster.tls-config", Kind::Text, "File with tls_server_config and tls_client_config for traffic between members.")
        .default(""),
    flag("cluster.allow-insecure-public-advertise-address-discovery", Kind::Switch, "Take a public address of this host where it has no private one."),
    flag("cluster.label", Kind::Text, "Members of another label are refused.").default(""),
    flag("enable-feature", Kind::Text, "Comma separated features: classic-mode, utf8-strict-mode.").default(""),
    flag("log.level", Kind::Choice(&["debug", "info", "warn", "error"]), "Least severe events that are logged.")
        .default("info"),
    flag("log.format", Kind::Choice(&["logfmt", "json"]), "How a line of the log looks.").default("logfmt"),
    flag("raft.heartbeat", Kind::Duration, "Time between two heartbeats of a leader.").default("200ms"),
    flag("raft.election-min", Kind::Duration, "A round trip between members that takes longer counts as lost.")
        .default("700ms"),
    flag("raft.election-max", Kind::Duration, "How long a leader's lease is.").default("1s"),
    flag("raft.force-init", Kind::Switch, "Start a cluster if this node is empty, whatever the others say."),
    flag("web.max-connections", Kind::Number, "Most connections at a time.").default("512"),
    flag("web.read-timeout", Kind::Duration, "Longest time to read a request's head.").default("5m0s"),
];

/// The program.
pub(super) static ALERTMANAGER: Command =
    Command { flags: &FLAGS, ..Command::new("alertmanager", "Routes, groups, silences and sends alerts.") };
