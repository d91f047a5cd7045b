//! alertmanager.yml, whole and strict: text to checked types.
//!
//! [`AlertmanagerConfig::load`] accepts what Alertmanager accepts and refuses the rest with
//! `file:line:column: what, and what is expected`; [`AlertmanagerConfig::unsupported`] lists valid
//! keys whose part is not built. What is loaded is checked once and then cannot be wrong.

mod chat;
mod inherit;
mod receivers;
mod route;
mod schema;
mod time_interval;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{HttpClientConfig, TlsConfig};
use yaml::{Checker, ConfigErrors, Located, Node, Position, View};

pub use time_interval::TimeInterval;

use crate::matcher::MatcherMode;
use crate::route::RouteSpec;
use crate::settings::{InhibitRule, IntervalCheck};

/// Bytes of the file at most.
const MAX_FILE: u64 = 16 << 20;
/// `resolve_timeout` where the file sets none.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(300);

/// A checked alertmanager.yml.
#[derive(Clone, Debug)]
pub struct AlertmanagerConfig {
    /// The file.
    pub path: PathBuf,
    /// `global.resolve_timeout`: when an alert without an end is over.
    pub resolve_timeout: Duration,
    /// `route`: the root, which has a receiver; every receiver and interval it names exists.
    pub route: RouteSpec,
    /// `receivers` in the order of the file, names unique.
    pub receivers: Vec<ReceiverConfig>,
    /// `inhibit_rules` in the order of the file.
    pub inhibit_rules: Vec<InhibitRule>,
    /// `time_intervals` and `mute_time_intervals`, names unique over both.
    pub time_intervals: Vec<TimeInterval>,
    /// `templates`: paths whose last element may hold `*`, below the file's folder where relative.
    pub templates: Vec<PathBuf>,
    unsupported: Vec<Located>,
    redacted: String,
}

/// A receiver; one without integrations sends nothing.
#[derive(Clone, Debug)]
pub struct ReceiverConfig {
    /// `name`, unique.
    pub name: String,
    /// `labels`; always with `name`.
    pub labels: BTreeMap<String, String>,
    /// Where it sends, in Alertmanager's order of integrations.
    pub integrations: Vec<IntegrationConfig>,
}

/// One entry of a receiver's `webhook_configs`, `slack_configs` and so on.
#[derive(Clone)]
pub struct IntegrationConfig {
    /// The integration's name, such as `webhook`.
    pub kind: &'static str,
    /// Its position in its list.
    pub index: u32,
    /// `send_resolved`, where the file does not say it the integration's own default.
    pub send_resolved: bool,
    /// `http_config`, the receiver's or `global`'s as a whole.
    pub http: HttpClientConfig,
    /// `tls_config` of an integration that has one, or `global`'s for it.
    pub tls: TlsConfig,
    /// The entry as a map that its schema has checked, with what it takes from `global`. Files in it stand
    /// as they are written: relative to the working directory, as in Alertmanager.
    pub settings: Node,
}

/// The settings hold secrets.
impl fmt::Debug for IntegrationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntegrationConfig")
            .field("kind", &self.kind)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl AlertmanagerConfig {
    /// Reads and checks an alertmanager.yml.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(path: &Path, mode: MatcherMode) -> Result<Self, ConfigErrors> {
        let file: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
        let fail = |message: String| {
            ConfigErrors::from(Located { file: Arc::clone(&file), at: Position::START, message })
        };
        let unread = |error: std::io::Error| fail(format!("cannot be read: {error}; expected a file"));
        let size = std::fs::metadata(path).map_err(unread)?.len();
        if size > MAX_FILE {
            return Err(fail(format!("{size} bytes; expected at most {MAX_FILE}")));
        }
        let text = std::fs::read_to_string(path).map_err(unread)?;
        Self::parse(&text, path, mode)
    }

    /// Checks `text` as if it stood in `path`.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn parse(text: &str, path: &Path, mode: MatcherMode) -> Result<Self, ConfigErrors> {
        let file: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
        let root = yaml::parse(&file, text)?;
        let mut check = Checker::new(&file);
        check.object(&root, &schema::FILE);
        let view = View::of(&root);
        let base = path.parent().unwrap_or(Path::new(""));
        let mut uses = route::Uses::default();
        let tree = route::read(view.map("route"), mode, &mut uses, &mut check);
        if view.has("route") {
            route::check_root(view.map("route"), &mut check);
        } else {
            check.error(view.at(), "no route provided in config");
        }
        let receivers = receivers(view, base, &mut check);
        let time_intervals = intervals(view, &mut check);
        check_uses(&uses, &receivers, &time_intervals, &mut check);
        let inhibit_rules = route::inhibit_rules(view, mode, &mut check);
        let redacted = yaml::redacted(&root, check.secrets());
        Ok(Self {
            unsupported: check.finish()?,
            path: path.to_owned(),
            resolve_timeout: view.map("global").duration("resolve_timeout").unwrap_or(RESOLVE_TIMEOUT),
            route: tree,
            receivers,
            inhibit_rules,
            time_intervals,
            templates: view.texts("templates").iter().map(|path| yaml::join(base, path)).collect(),
            redacted,
        })
    }

    /// Valid keys that ask for what is not built, in order of place.
    #[must_use]
    pub fn unsupported(&self) -> &[Located] {
        &self.unsupported
    }

    /// The time intervals as [`crate::Settings`] asks them.
    #[must_use]
    pub fn interval_checks(&self) -> HashMap<String, IntervalCheck> {
        let check = |interval: &TimeInterval| -> IntervalCheck {
            let interval = interval.clone();
            Arc::new(move |time_ms| interval.contains(time_ms))
        };
        self.time_intervals.iter().map(|interval| (interval.name.clone(), check(interval))).collect()
    }

    /// The file as YAML with every secret as `<secret>`.
    #[must_use]
    pub fn redacted_yaml(&self) -> &str {
        &self.redacted
    }
}

fn receivers(view: View<'_>, base: &Path, check: &mut Checker) -> Vec<ReceiverConfig> {
    let global = view.map("global");
    let mut found: Vec<ReceiverConfig> = Vec::new();
    for entry in view.list("receivers") {
        let name = entry.text_or_empty("name").to_owned();
        if found.iter().any(|before| before.name == name) && !name.is_empty() {
            check.error(entry.value_at("name"), format!("notification config name {name:?} is not unique"));
        }
        inherit::check_needs(entry, global, check);
        let mut labels: BTreeMap<String, String> = entry.pairs("labels").into_iter().collect();
        labels.insert("name".to_owned(), name.clone());
        let integrations = inherit::integrations(entry, global, base, check);
        found.push(ReceiverConfig { name, labels, integrations });
    }
    found
}

fn intervals(view: View<'_>, check: &mut Checker) -> Vec<TimeInterval> {
    let mut found: Vec<TimeInterval> = Vec::new();
    for (key, what) in [("mute_time_intervals", "mute time interval"), ("time_intervals", "time interval")] {
        for entry in view.list(key) {
            let interval = TimeInterval::read(entry, check);
            if interval.name.is_empty() {
                check.error(entry.value_at("name"), format!("missing name in {what}"));
            } else if found.iter().any(|before| before.name == interval.name) {
                check.error(entry.value_at("name"), format!("{what} {:?} is not unique", interval.name));
            }
            found.push(interval);
        }
    }
    found
}

fn check_uses(
    uses: &route::Uses,
    receivers: &[ReceiverConfig],
    intervals: &[TimeInterval],
    check: &mut Checker,
) {
    for (name, at) in &uses.receivers {
        if !receivers.iter().any(|receiver| receiver.name == *name) {
            check.error(*at, format!("undefined receiver {name:?} used in route"));
        }
    }
    for (name, at) in &uses.intervals {
        if !intervals.iter().any(|interval| interval.name == *name) {
            check.error(*at, format!("undefined time interval {name:?} used in route"));
        }
    }
}

#[cfg(test)]
mod tests;
