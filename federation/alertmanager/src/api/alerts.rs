//! `GET /api/v2/alerts`.

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::view::{AlertView, Filter};
use super::{Params, json};
use crate::node::Alertmanager;

pub(super) async fn list(
    State(alertmanager): State<Alertmanager>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Response {
    let node = &alertmanager.0;
    let filter = match Filter::read(&Params::new(pairs), node.options.matcher_mode) {
        Ok(filter) => filter,
        Err(answer) => return *answer,
    };
    let (settings, now_ms) = (node.settings.borrow().clone(), node.clock.now_ms());
    let backend = node.backend();
    let mut mutes = backend.mutes.lock();
    mutes.sync();
    let views: Vec<AlertView> = backend.state.read(|state| {
        let mut views = Vec::new();
        for (fingerprint, alert) in state.alerts() {
            if alert.ends_at < now_ms || !filter.wants_labels(alert) {
                continue;
            }
            let routes = settings.routes.matches(&alert.labels);
            let receivers: Vec<String> = routes
                .iter()
                .filter_map(|at| settings.routes.get(*at))
                .map(|it| it.receiver.to_string())
                .collect();
            if !receivers.iter().any(|name| filter.wants_receiver(name)) {
                continue;
            }
            let muted = mutes.of(fingerprint, &alert.labels, now_ms, state, |it| !it.resolved_at(now_ms));
            if filter.wants_state(&muted) {
                views.push(AlertView::new(fingerprint, alert, muted, &receivers, &[]));
            }
        }
        views
    });
    drop(mutes);
    // The state is in order of fingerprint, and so is the answer.
    json(StatusCode::OK, &views)
}
