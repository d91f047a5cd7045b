//! What a job allows of a series' labels.

use model::{Labels, METRIC_NAME, is_valid_legacy_label_name, is_valid_legacy_metric_name};

use crate::config::ScrapeConfig;

/// Whether a series may be kept: it has a name, and keeps to the job's names and limits.
pub(crate) fn check(config: &ScrapeConfig, labels: &Labels) -> Result<(), String> {
    let name = labels.metric_name();
    if name.is_empty() {
        return Err(format!("missing metric name ({METRIC_NAME} label)"));
    }
    let legacy = config.names == model::NameValidation::Legacy;
    let legal = |label: &str| label == METRIC_NAME || is_valid_legacy_label_name(label);
    if legacy && !(is_valid_legacy_metric_name(name) && labels.pairs().all(|(label, _)| legal(label))) {
        return Err(format!("invalid metric name or label names: {labels}"));
    }
    check_limits(config, name, labels)
}

fn check_limits(config: &ScrapeConfig, name: &str, labels: &Labels) -> Result<(), String> {
    let over = |limit: u64, length: usize| limit > 0 && length as u64 > limit;
    let metric = short(name);
    if over(config.label_limit, labels.len()) {
        return Err(format!(
            "label_limit exceeded (metric: {metric}, number of labels: {}, limit: {})",
            labels.len(),
            config.label_limit
        ));
    }
    for (label, value) in labels.pairs() {
        let shown = short(label);
        if over(config.label_name_length_limit, label.len()) {
            return Err(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {shown}, length: {}, limit: {})",
                label.len(),
                config.label_name_length_limit
            ));
        }
        if over(config.label_value_length_limit, value.len()) {
            return Err(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {shown}, value: {:?}, \
                     length: {}, limit: {})",
                short(value),
                value.len(),
                config.label_value_length_limit
            ));
        }
    }
    Ok(())
}

/// Enough of a text to recognise it.
fn short(text: &str) -> String {
    text.chars().take(50).collect()
}
