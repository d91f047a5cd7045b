//! `otlp`: how OpenTelemetry's metrics become series.

use ingest::{OtlpConfig, Strategy};
use yaml::View;

/// The section, with defaults for what it leaves out.
pub(crate) fn read(view: View<'_>) -> OtlpConfig {
    let usual = OtlpConfig::default();
    let flag = |key: &str, default: bool| view.flag(key).unwrap_or(default);
    let names = |key: &str| view.texts(key).iter().map(|name| name.trim().to_owned()).collect();
    let word = view.text_or_empty("translation_strategy");
    OtlpConfig {
        promoted: names("promote_resource_attributes"),
        promotes_all: flag("promote_all_resource_attributes", usual.promotes_all),
        ignored: names("ignore_resource_attributes"),
        strategy: Strategy::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map_or(usual.strategy, |(_, strategy)| *strategy),
        keeps_identifying: flag("keep_identifying_resource_attributes", usual.keeps_identifying),
        histograms_to_nhcb: flag("convert_histograms_to_nhcb", usual.histograms_to_nhcb),
        promotes_scope: flag("promote_scope_metadata", usual.promotes_scope),
        sanitizes_underscores: flag("label_name_underscore_sanitization", usual.sanitizes_underscores),
        preserves_underscores: flag("label_name_preserve_multiple_underscores", usual.preserves_underscores),
    }
}
