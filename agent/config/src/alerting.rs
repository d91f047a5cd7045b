//! `alerting`: who is told of alerts.

use std::path::Path;

use model::{Labels, NameValidation};
use notifier::{AlertmanagerConfig, NotifierConfig, Scheme};
use yaml::{Checker, View};

use crate::{job, relabel};

/// The notifier's settings in `view`; where alerts go beside these is for the caller to add.
pub(crate) fn read(
    view: View<'_>,
    external_labels: &Labels,
    names: NameValidation,
    base: &Path,
    check: &mut Checker,
) -> NotifierConfig {
    NotifierConfig {
        external_labels: external_labels.clone(),
        alert_relabel_configs: relabel::rules(view, "alert_relabel_configs", names, check),
        alertmanagers: view.list("alertmanagers").map(|entry| group(entry, names, base, check)).collect(),
        pair: None,
    }
}

/// One entry of a list of alertmanagers.
pub(crate) fn group(
    view: View<'_>,
    names: NameValidation,
    base: &Path,
    check: &mut Checker,
) -> AlertmanagerConfig {
    let discovery = job::discovery(view, base, check);
    if !discovery.files.is_empty() {
        check.later(view.key_at("file_sd_configs"), "file_sd_configs", "finding alertmanagers through files");
    }
    AlertmanagerConfig {
        scheme: if view.text("scheme") == Some("https") { Scheme::Https } else { Scheme::Http },
        path_prefix: view.text_or_empty("path_prefix").to_owned(),
        timeout: view.duration("timeout").unwrap_or(AlertmanagerConfig::TIMEOUT),
        http: yaml::client_config(view, base, check),
        statics: discovery.statics,
        relabel_configs: relabel::rules(view, "relabel_configs", names, check),
        alert_relabel_configs: relabel::rules(view, "alert_relabel_configs", names, check),
    }
}
