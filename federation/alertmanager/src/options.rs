//! What an operator may set beside alertmanager.yml.

use std::path::PathBuf;
use std::time::Duration;

use crate::matcher::MatcherMode;

/// Times and places; the defaults are Alertmanager's where it has them.
#[derive(Clone, Debug)]
pub struct Options {
    /// This node's name: whose overlay it is.
    pub node_name: String,
    /// Where the overlay of a node that is cut off is kept.
    pub dir: PathBuf,
    /// How long an announced notification may be under way before it is announced again
    /// (`--cluster.peer-timeout`).
    pub peer_timeout: Duration,
    /// How far two monotonic clocks may drift apart during `peer_timeout`.
    pub drift: Duration,
    /// How long log entries and ended silences stay (`--data.retention`).
    pub retention: Duration,
    /// How long alerts that are over stay (`--alerts.gc-interval`).
    pub keep_resolved: Duration,
    /// A node that hears no leader with a quorum for so long sends on its own.
    pub degrade_after: Duration,
    /// A node that hears one for so long gives its overlay back.
    pub heal_after: Duration,
    /// How much longer an alert without an explicit end counts as firing while its sender may be cut off.
    pub hold: Duration,
    /// How much later a node that is cut off repeats itself: others are probably repeating.
    pub repeat_damping: Duration,
    /// How long a write waits for a quorum before the overlay takes it.
    pub write_patience: Duration,
    /// This process takes part in sending. A witness does not.
    pub sends: bool,
    /// There may be other members: else the status says that there is no cluster.
    pub clustered: bool,
    /// The same as `degrade_after` for a node that has heard no leader since its start
    /// (`--cluster.settle-timeout`).
    pub settle: Duration,
    /// Groups are begun no sooner than this after the start (`--dispatch.start-delay`).
    pub start_delay: Duration,
    /// Between two rounds of throwing away what is over (`--data.maintenance-interval`).
    pub gc_every: Duration,
    /// How matchers and label names are read (`--enable-feature`).
    pub matcher_mode: MatcherMode,
    /// Most silences, those that are over included; 0: no limit (`--silences.max-silences`).
    pub max_silences: usize,
    /// Most bytes of a silence as it is kept; 0: no limit (`--silences.max-silence-size-bytes`).
    pub max_silence_bytes: usize,
    /// Most firing alerts of one name; 0: no limit (`--alerts.per-alertname-limit`).
    pub alerts_per_name: usize,
    /// Says in the log who set or ended which silence (`--log.silences`).
    pub log_silences: bool,
}

impl Options {
    /// The defaults for the node of that name, with its overlay in `dir`.
    #[must_use]
    pub fn new(node_name: &str, dir: PathBuf) -> Self {
        Self {
            node_name: node_name.to_owned(),
            dir,
            peer_timeout: Duration::from_secs(15),
            drift: Duration::from_millis(150),
            retention: Duration::from_hours(120),
            keep_resolved: Duration::from_mins(30),
            degrade_after: Duration::from_secs(15),
            heal_after: Duration::from_secs(2),
            hold: Duration::from_mins(2),
            repeat_damping: Duration::from_mins(5),
            write_patience: Duration::from_secs(3),
            sends: true,
            clustered: true,
            settle: Duration::from_secs(15),
            start_delay: Duration::ZERO,
            gc_every: Duration::from_mins(1),
            matcher_mode: MatcherMode::default(),
            max_silences: 0,
            max_silence_bytes: 0,
            alerts_per_name: 0,
            log_silences: false,
        }
    }
}
