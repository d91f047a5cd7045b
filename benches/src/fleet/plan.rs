//! What a fleet is: how many hosts of which kinds, how much of a page changes, and what befalls the hosts.

use clap::ValueEnum;

use super::draws::Draws;

/// Which exporter a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// node_exporter of a virtual machine, about 600 series.
    NodeSmall,
    /// node_exporter of a server, about 1,230 series.
    NodeLarge,
    /// node_exporter of a virtual machine that counts interrupts too, about 680 series.
    NodeInterrupts,
    /// A web application with classic histograms.
    Web,
    /// A kubelet's containers.
    Kubelet,
    /// One probe.
    Blackbox,
}

impl Kind {
    /// The value of the label `kind`, and the name on command lines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NodeSmall => "node-small",
            Self::NodeLarge => "node-large",
            Self::NodeInterrupts => "node-interrupts",
            Self::Web => "web",
            Self::Kubelet => "kubelet",
            Self::Blackbox => "blackbox",
        }
    }
}

/// How much of a page changes from one scrape to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// A quarter: most hosts, most of the time.
    Quiet,
    /// Half.
    Busy,
    /// Four fifths.
    Noisy,
}

impl Profile {
    /// The share of values that change.
    #[must_use]
    pub fn share(self) -> f64 {
        match self {
            Self::Quiet => 0.25,
            Self::Busy => 0.5,
            Self::Noisy => 0.8,
        }
    }
}

/// What befalls hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Churn {
    /// 1 % of the targets get a new value of the label `rollout` every 10 minutes.
    Labels,
    /// Series come and go, 0.3 a scrape: devices of containers, pods, routes.
    Series,
    /// Every hour a fifth of the applications restart within 2 minutes with the next version.
    Deploy,
    /// A host boots anew twice a day on average: a minute of silence, counters from zero, a new boot time.
    Reboot,
    /// A target does not answer for 5 minutes, every 2 hours on average.
    Down,
}

/// Everything that decides what a host shows at a slot.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Decides all values.
    pub seed: u64,
    /// How many hosts there are.
    pub hosts: usize,
    /// Their kinds, in turn. Never empty.
    pub kinds: Vec<Kind>,
    /// How much changes.
    pub profile: Profile,
    /// What befalls them.
    pub churn: Vec<Churn>,
    /// Between two slots, in milliseconds. At least 1.
    pub interval_ms: i64,
    /// When slot 0 is, in milliseconds since the Unix epoch.
    pub origin_ms: i64,
}

/// What keys of draws are for, so that no two uses share a sequence.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    Shape,
    Step,
    Label,
    Deploy,
    Place,
}

/// Scrapers are early or late by up to so much.
const JITTER_MS: i64 = 3;
const MINUTE: i64 = 60_000;
/// Between two looks at the label `rollout`.
const RELABEL: i64 = 10 * MINUTE;
const HOUR: i64 = 60 * MINUTE;

impl Plan {
    /// The kind of a host.
    #[must_use]
    pub fn kind(&self, host: usize) -> Kind {
        self.kinds[host % self.kinds.len()]
    }

    /// The value of the label `instance` of a host's target.
    #[must_use]
    pub fn instance(&self, host: usize) -> String {
        format!("{}-{host:05}", self.kind(host).name())
    }

    /// The slot that a time falls into, none before slot 0.
    #[must_use]
    pub fn slot_at(&self, now_ms: i64) -> Option<u64> {
        u64::try_from((now_ms - self.origin_ms).div_euclid(self.interval_ms)).ok()
    }

    /// When a scraper that follows the grid reads a host at a slot: each host has its own place in the interval.
    #[must_use]
    pub fn scraped_at(&self, host: usize, slot: u64) -> i64 {
        let place = self.draws(Purpose::Place, host, u64::MAX).between(0, self.interval_ms - 1);
        let jitter = self.draws(Purpose::Place, host, slot).between(-JITTER_MS, JITTER_MS);
        self.time_of(slot) + place + jitter
    }

    /// When a slot begins, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn time_of(&self, slot: u64) -> i64 {
        self.origin_ms + slot as i64 * self.interval_ms
    }

    /// The label `rollout` of a host's target at a slot: how often it has changed.
    #[must_use]
    pub fn rollout(&self, host: usize, slot: u64) -> u64 {
        if !self.churn.contains(&Churn::Labels) {
            return 0;
        }
        let windows = slot as i64 * self.interval_ms / RELABEL;
        let changes = |window: &u64| self.draws(Purpose::Label, host, *window).chance(0.01);
        (1..=windows as u64).filter(changes).count() as u64
    }

    /// Whether a deploy reaches this host at this slot.
    pub(super) fn deploys(&self, host: usize, slot: u64) -> bool {
        let now = slot as i64 * self.interval_ms;
        if !self.churn.contains(&Churn::Deploy) || now < HOUR {
            return false;
        }
        let mut draws = self.draws(Purpose::Deploy, host, (now / HOUR) as u64);
        let chosen = draws.chance(0.2);
        let after = draws.between(0, 2 * MINUTE - 1);
        let since = now % HOUR - after;
        chosen && (0..self.interval_ms).contains(&since)
    }

    /// Slots that a span of minutes covers, at least one.
    pub(super) fn slots(&self, minutes: i64) -> u64 {
        (minutes * MINUTE / self.interval_ms).max(1) as u64
    }

    /// The chance in one slot of what happens once in so many hours.
    pub(super) fn once_in(&self, hours: f64) -> f64 {
        self.interval_ms as f64 / (hours * HOUR as f64)
    }

    pub(super) fn draws(&self, purpose: Purpose, host: usize, number: u64) -> Draws {
        Draws::new(&[self.seed, purpose as u64, host as u64, number])
    }
}
