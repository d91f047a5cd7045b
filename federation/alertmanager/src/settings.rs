//! What the configuration says, checked and ready for use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Matcher;

use crate::config::{AlertmanagerConfig, ReceiverConfig, TimeInterval};
use crate::notify::Notifier;
use crate::route::{Route, RouteTree};

/// Whether a named time interval holds at a time (milliseconds since the Unix epoch).
pub type IntervalCheck = Arc<dyn Fn(i64) -> bool + Send + Sync>;

/// Alerts that match `target` are muted while one that matches `source` fires.
#[derive(Clone, Debug, Default)]
pub struct InhibitRule {
    /// What must fire.
    pub source: Vec<Matcher>,
    /// What is muted.
    pub target: Vec<Matcher>,
    /// Labels in which both must be equal; an absent label is empty.
    pub equal: Vec<String>,
}

/// A receiver and where it sends.
#[derive(Clone)]
pub struct Receiver {
    /// Its unique name.
    pub name: Arc<str>,
    /// Its labels, as the API shows them.
    pub labels: BTreeMap<String, String>,
    /// Its integrations; none is a receiver that sends nothing.
    pub integrations: Vec<Arc<dyn Notifier>>,
}

/// One checked configuration.
#[derive(Clone)]
pub struct Settings {
    /// The route tree; every receiver it names is in `receivers`.
    pub routes: RouteTree,
    /// Receivers in the order of the file.
    pub receivers: Vec<Receiver>,
    /// Inhibition rules in the order of the file.
    pub inhibit_rules: Vec<InhibitRule>,
    /// Time intervals by name.
    pub intervals: HashMap<String, IntervalCheck>,
    /// When an alert without an end is over.
    pub resolve_timeout: Duration,
    /// Where this alertmanager is reached, for receivers.
    pub external_url: String,
    /// The configuration as the status page shows it: YAML without secrets.
    pub original: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.receivers.iter().map(|receiver| &receiver.name).collect();
        f.debug_struct("Settings").field("receivers", &names).finish_non_exhaustive()
    }
}

impl Settings {
    /// The settings of a checked file. `build` makes the integrations of a receiver; only receivers that
    /// some route names are asked for, as in Alertmanager.
    ///
    /// # Errors
    /// The first error of `build`.
    pub fn from_config<E>(
        config: &AlertmanagerConfig,
        external_url: &str,
        mut build: impl FnMut(&ReceiverConfig) -> Result<Vec<Arc<dyn Notifier>>, E>,
    ) -> Result<Self, E> {
        let routes = RouteTree::new(&config.route);
        let used: HashSet<_> = routes.iter().map(|route| Arc::clone(&route.receiver)).collect();
        let mut receivers = Vec::with_capacity(config.receivers.len());
        for receiver in &config.receivers {
            let integrations =
                if used.contains(receiver.name.as_str()) { build(receiver)? } else { Vec::new() };
            let name = Arc::from(receiver.name.as_str());
            receivers.push(Receiver { name, labels: receiver.labels.clone(), integrations });
        }
        let interval = |it: &TimeInterval| {
            let holds = it.clone();
            (it.name.clone(), Arc::new(move |now_ms| holds.contains(now_ms)) as IntervalCheck)
        };
        Ok(Self {
            routes,
            receivers,
            inhibit_rules: config.inhibit_rules.clone(),
            intervals: config.time_intervals.iter().map(interval).collect(),
            resolve_timeout: config.resolve_timeout,
            external_url: external_url.to_owned(),
            original: config.redacted_yaml().to_owned(),
        })
    }

    /// The receiver of a route.
    #[must_use]
    pub fn receiver(&self, name: &str) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| &*receiver.name == name)
    }

    /// The time intervals because of which `route` sends nothing at `now_ms`.
    #[must_use]
    pub fn muted_by(&self, route: &Route, now_ms: i64) -> TimeMute {
        let holds = |name: &&String| self.intervals.get(*name).is_some_and(|check| check(now_ms));
        let muting: Vec<_> = route.mute_intervals.iter().filter(holds).cloned().collect();
        if !muting.is_empty() {
            return TimeMute::Muted(muting);
        }
        if !route.active_intervals.is_empty() && !route.active_intervals.iter().any(|name| holds(&name)) {
            return TimeMute::Inactive(route.active_intervals.clone());
        }
        TimeMute::Open
    }
}

/// Whether time intervals let a route send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeMute {
    /// They do.
    Open,
    /// These mute it.
    Muted(Vec<String>),
    /// None of these active intervals holds.
    Inactive(Vec<String>),
}

impl TimeMute {
    /// The names, as the API shows them.
    #[must_use]
    pub fn names(&self) -> &[String] {
        match self {
            Self::Open => &[],
            Self::Muted(names) | Self::Inactive(names) => names,
        }
    }
}
