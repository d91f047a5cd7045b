//! `check`: what a configuration or rule file is worth, in a sentence.

use std::path::Path;

use config::{Config, Loaded, load_rules};
use model::NameValidation;
use rules::RuleGroup;

/// Checks a prometheus.yml and the rule files that it names.
///
/// # Errors
/// Everything that is wrong, each with its place.
pub fn config(path: &Path) -> Result<String, String> {
    let loaded = Config::load(path).map_err(|errors| errors.to_string())?;
    loaded.check_files().map_err(|errors| errors.to_string())?;
    let groups = rule_groups(&loaded)?;
    let mut said = format!(
        "valid, {} scrape jobs, {} rule files with {} groups",
        loaded.scrape_configs.len(),
        loaded.rule_paths().len(),
        groups.len()
    );
    for place in loaded.unsupported().iter().chain(loaded.moot()) {
        said.push_str(&format!("\n  {place}"));
    }
    Ok(said)
}

/// Checks one rule file.
///
/// # Errors
/// Everything that is wrong, each with its place and rule.
pub fn rules(path: &Path) -> Result<String, String> {
    let groups = load_rules(path, NameValidation::Utf8).map_err(|errors| errors.to_string())?;
    let count: usize = groups.iter().map(|group| group.rules.len()).sum();
    Ok(format!("valid, {} groups with {count} rules", groups.len()))
}

/// Tells whoever reads the log of keys that Prometheus reads and that have no effect here.
pub fn warn_moot(loaded: &Loaded) {
    for place in loaded.moot() {
        tracing::warn!("{place}");
    }
}

/// Every rule group that a configuration names.
///
/// # Errors
/// Everything that is wrong in any of the files.
pub fn rule_groups(loaded: &Loaded) -> Result<Vec<RuleGroup>, String> {
    let (mut groups, mut wrong) = (Vec::new(), Vec::new());
    for path in loaded.rule_paths() {
        match load_rules(&path, loaded.global.names) {
            Ok(found) => groups.extend(found),
            Err(errors) => wrong.push(errors.to_string()),
        }
    }
    if wrong.is_empty() { Ok(groups) } else { Err(wrong.join("\n")) }
}
