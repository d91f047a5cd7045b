//! From alertmanager.yml to what the alertmanager runs with.

use std::path::Path;

use alertmanager::Settings;
use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use config::Loaded;
use env::SharedClock;
use integrations::Context;

/// A node without an alertmanager.yml keeps alerts and silences, and sends nothing.
const NO_FILE: &str = "route: { receiver: none }\nreceivers: [{ name: none }]\n";

/// Loads an alertmanager.yml; a key whose part is not built is refused with its place.
pub(crate) fn load_settings(
    path: Option<&Path>,
    external_url: &str,
    clock: &SharedClock,
) -> Result<Settings, String> {
    let Some(path) = path else {
        let loaded =
            AlertmanagerConfig::parse(NO_FILE, Path::new("alertmanager.yml"), MatcherMode::default());
        return settings_of(&loaded.map_err(|errors| errors.to_string())?, external_url, clock);
    };
    load_file(path, external_url, MatcherMode::default(), clock)
}

/// Loads a file whose matchers are read in this mode.
pub(crate) fn load_file(
    path: &Path,
    external_url: &str,
    mode: MatcherMode,
    clock: &SharedClock,
) -> Result<Settings, String> {
    let loaded = AlertmanagerConfig::load(path, mode).map_err(|errors| errors.to_string())?;
    settings_of(&loaded, external_url, clock)
}

fn settings_of(
    loaded: &AlertmanagerConfig,
    external_url: &str,
    clock: &SharedClock,
) -> Result<Settings, String> {
    if !loaded.unsupported().is_empty() {
        let lines: Vec<String> = loaded.unsupported().iter().map(ToString::to_string).collect();
        return Err(lines.join("\n"));
    }
    let context = Context::load(&loaded.templates, clock.clone())?;
    Settings::from_config(loaded, external_url, |receiver| integrations::build(receiver, &context))
        .map_err(|error| format!("{}: {error}", loaded.path.display()))
}

/// A hash over what a pair must have in common: external labels and rules.
pub(crate) fn pair_hash(loaded: &Loaded) -> u128 {
    let rules: Vec<String> =
        loaded.rule_paths().iter().map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    let text = format!("{}\n{}", loaded.global.external_labels, rules.join("\n---\n"));
    xxhash_rust::xxh3::xxh3_128(text.as_bytes())
}
