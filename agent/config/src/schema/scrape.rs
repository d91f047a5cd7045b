//! `scrape_configs`.

use yaml::http::HTTP;
use yaml::{Checker, Schema, Type, View, field};

use super::{SHARED, protocol};
use crate::sd::DISCOVERY;

/// A file that `scrape_config_files` names.
pub(crate) static SCRAPE_FILE: Schema = Schema::new(
    "a scrape config file",
    &[field("scrape_configs", Type::List(&Type::Object(&SCRAPE)))
        .empty_item("empty or null scrape config section")],
);

pub(super) static RELABEL: Schema = Schema::new(
    "relabel_config",
    &[
        field("source_labels", Type::TEXTS),
        field("separator", Type::Text),
        field("regex", Type::Text),
        field("modulus", Type::COUNT),
        field("target_label", Type::Text),
        field("replacement", Type::Text),
        field("action", Type::Text),
    ],
);

/// One job.
pub(crate) static SCRAPE: Schema = Schema::new(
    "scrape_configs",
    &[
        field("job_name", Type::Text),
        field("fallback_scrape_protocol", Type::Text),
        field("metrics_path", Type::Text),
        field("honor_labels", Type::Bool),
        field("honor_timestamps", Type::Bool),
        field("track_timestamps_staleness", Type::Bool),
        field("scheme", Type::Choice(&["http", "https"])),
        field("params", Type::Map(&Type::TEXTS)),
        field("enable_compression", Type::Bool),
        field("native_histogram_bucket_limit", Type::COUNT),
        field("native_histogram_min_bucket_factor", Type::Float),
        field("relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null target relabeling rule"),
        field("metric_relabel_configs", Type::List(&Type::Object(&RELABEL)))
            .empty_item("empty or null metric relabeling rule"),
    ],
)
.with(&[&SHARED, &DISCOVERY, &HTTP])
.verify(scrape);

fn scrape(view: View<'_>, check: &mut Checker) {
    if !view.filled("job_name") {
        check.error(view.value_at("job_name"), "job_name is empty; expected a name");
    }
    if let Some(word) = view.text("fallback_scrape_protocol") {
        protocol(word, view.value_at("fallback_scrape_protocol"), check);
    }
    statics(view, check);
}

/// Targets and labels of `static_configs`, wherever they stand.
pub(super) fn statics(view: View<'_>, check: &mut Checker) {
    let relabelled = !view.items("relabel_configs").is_empty();
    for group in view.list("static_configs") {
        for target in group.items("targets") {
            let address = target.text().unwrap_or_default();
            if address.contains('/') && !relabelled {
                check.error(
                    target.at,
                    format!(
                        "{address:?} is not a valid hostname; expected host:port without a scheme or path"
                    ),
                );
            }
        }
        for entry in group
            .get("labels")
            .map_or(&[][..], yaml::Node::entries)
            .iter()
            .filter(|entry| entry.key.is_empty())
        {
            check.error(entry.at, format!("{:?} is not a valid label name", entry.key));
        }
    }
}
