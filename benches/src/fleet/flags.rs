//! A fleet as command lines name it.

use std::time::Duration;

use clap::Args;

use super::plan::{Churn, Kind, Plan, Profile};

/// How a fleet is asked for.
#[derive(Args, Clone, Debug)]
pub struct FleetFlags {
    /// Hosts.
    #[arg(long, global = true, value_name = "N")]
    pub hosts: Option<usize>,
    /// Between two slots; scrapers should use the same.
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub interval: Option<Duration>,
    /// Kinds of hosts, in turn.
    #[arg(long, global = true, value_delimiter = ',', default_value = "node-small")]
    pub kinds: Vec<Kind>,
    /// How much of a page changes from slot to slot: 25, 50 or 80 %.
    #[arg(long, global = true, default_value = "quiet")]
    pub profile: Profile,
    /// What befalls hosts, separated by commas.
    #[arg(long, global = true, value_delimiter = ',', default_value = "labels,series")]
    pub churn: Vec<Churn>,
    /// Nothing befalls them.
    #[arg(long, global = true, conflicts_with = "churn")]
    pub no_churn: bool,
    /// Decides every value.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// When slot 0 is, in milliseconds since 1970 [default: now].
    #[arg(long, global = true, value_name = "MS")]
    pub origin: Option<i64>,
}

impl FleetFlags {
    /// The plan; `hosts` and `interval` where the flags do not say.
    #[must_use]
    pub fn plan(&self, hosts: usize, interval: Duration) -> Plan {
        let interval_ms = self.interval.unwrap_or(interval).as_millis().clamp(1, 86_400_000) as i64;
        let now = self.origin.unwrap_or_else(|| env::SystemClock::shared().now_ms());
        Plan {
            seed: self.seed,
            hosts: self.hosts.unwrap_or(hosts),
            kinds: self.kinds.clone(),
            profile: self.profile,
            churn: if self.no_churn { Vec::new() } else { self.churn.clone() },
            interval_ms,
            origin_ms: now - now.rem_euclid(interval_ms),
        }
    }
}

/// A duration as Prometheus writes it.
///
/// # Errors
/// When it is none.
pub fn duration(text: &str) -> Result<Duration, String> {
    model::parse_duration(text).map_err(|error| error.to_string())
}
