//! `GET /api/v2/alerts/groups`: computed from the configuration and the alerts, on any node.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use model::Labels;
use serde::Serialize;

use super::view::{AlertView, Filter, NameView};
use super::{Params, json};
use crate::alert::Alert;
use crate::node::Alertmanager;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupView {
    alerts: Vec<AlertView>,
    labels: BTreeMap<String, String>,
    receiver: NameView,
    route_labels: BTreeMap<String, String>,
}

/// Order of groups: fewer labels first, then by label, then by receiver, then by route.
type Order = (usize, Labels, Arc<str>, usize);

pub(super) async fn list(
    State(alertmanager): State<Alertmanager>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let params = Params::new(pairs);
    let node = &alertmanager.0;
    let filter = match Filter::read(&params, node.options.matcher_mode) {
        Ok(filter) => filter,
        Err(answer) => return *answer,
    };
    let with_muted = params.switch("muted");
    let (settings, now_ms) = (node.settings.borrow().clone(), node.clock.now_ms());
    let muted_by: Vec<Vec<String>> =
        settings.routes.iter().map(|route| settings.muted_by(route, now_ms).names().to_vec()).collect();
    let backend = node.backend();
    let mut mutes = backend.mutes.lock();
    mutes.sync();
    let mut groups: BTreeMap<Order, Vec<(Arc<Alert>, AlertView)>> = BTreeMap::new();
    backend.state.read(|state| {
        for (fingerprint, alert) in state.alerts() {
            if alert.ends_at < now_ms || !filter.wants_labels(alert) {
                continue;
            }
            let muted = mutes.of(fingerprint, &alert.labels, now_ms, state, |it| !it.resolved_at(now_ms));
            if !filter.wants_state(&muted) {
                continue;
            }
            let routes = settings.routes.matches(&alert.labels);
            let reached = || routes.iter().filter_map(|at| Some((*at, settings.routes.get(*at)?)));
            let receivers: Vec<String> = reached().map(|(_, route)| route.receiver.to_string()).collect();
            for (at, route) in reached() {
                if !filter.wants_receiver(&route.receiver) || (!with_muted && !muted_by[at].is_empty()) {
                    continue;
                }
                let labels = route.group_labels(&alert.labels);
                let view = AlertView::new(fingerprint, alert, muted.clone(), &receivers, &muted_by[at]);
                let order = (labels.len(), labels, Arc::clone(&route.receiver), at);
                groups.entry(order).or_default().push((Arc::clone(alert), view));
            }
        }
    });
    drop(mutes);
    let views: Vec<GroupView> = groups
        .into_iter()
        .map(|((_, labels, receiver, at), mut alerts)| {
            alerts.sort_by(|(one, _), (other, _)| sort_key(one).cmp(&sort_key(other)));
            GroupView {
                alerts: alerts.into_iter().map(|(_, view)| view).collect(),
                labels: labels.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                receiver: NameView { name: receiver.to_string() },
                route_labels: settings.routes.get(at).map(|route| route.labels.clone()).unwrap_or_default(),
            }
        })
        .collect();
    json(StatusCode::OK, &views)
}

fn sort_key(alert: &Alert) -> (&str, &str, &Labels) {
    (alert.labels.value("job"), alert.labels.value("instance"), &alert.labels)
}
