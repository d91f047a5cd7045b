//! `GET /api/v2/status` and `GET /api/v2/receivers`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::json;
use crate::node::Alertmanager;
use crate::time::format_ms;

/// The Alertmanager that this one stands in for: amtool compares major and minor.
pub const STANDS_IN_FOR: &str = "0.34.0";

#[derive(Serialize)]
struct PeerView {
    address: String,
    name: String,
}

#[derive(Serialize)]
struct ClusterView {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    peers: Vec<PeerView>,
    status: &'static str,
}

#[derive(Serialize)]
struct ConfigView {
    original: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionView {
    branch: &'static str,
    build_date: &'static str,
    build_user: &'static str,
    go_version: &'static str,
    revision: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    cluster: ClusterView,
    config: ConfigView,
    uptime: String,
    version_info: VersionView,
}

#[derive(Serialize)]
struct ReceiverView {
    labels: BTreeMap<String, String>,
    name: String,
}

pub(super) async fn status(State(alertmanager): State<Alertmanager>) -> Response {
    let node = &alertmanager.0;
    let view = StatusView {
        cluster: cluster(&alertmanager),
        config: ConfigView { original: node.settings.borrow().original.clone() },
        uptime: format_ms(node.started_ms),
        version_info: VersionView {
            branch: "HEAD",
            build_date: "",
            build_user: "vedette",
            go_version: "none",
            revision: concat!("vedette-", env!("CARGO_PKG_VERSION")),
            version: STANDS_IN_FOR,
        },
    };
    json(StatusCode::OK, &view)
}

fn cluster(alertmanager: &Alertmanager) -> ClusterView {
    let node = &alertmanager.0;
    if !node.options.clustered {
        return ClusterView { name: String::new(), peers: Vec::new(), status: "disabled" };
    }
    let mut peers: Vec<_> = node.lease.peers();
    peers.sort_by(|one, other| one.name.cmp(&other.name));
    let ready = node.lease.quorum_available() && !alertmanager.is_degraded();
    ClusterView {
        name: node.options.node_name.clone(),
        peers: peers.into_iter().map(|it| PeerView { address: it.address, name: it.name }).collect(),
        status: if ready { "ready" } else { "settling" },
    }
}

pub(super) async fn receivers(State(alertmanager): State<Alertmanager>) -> Response {
    let settings = alertmanager.0.settings.borrow().clone();
    let views: Vec<_> = settings
        .receivers
        .iter()
        .map(|it| ReceiverView { labels: it.labels.clone(), name: it.name.to_string() })
        .collect();
    json(StatusCode::OK, &views)
}
