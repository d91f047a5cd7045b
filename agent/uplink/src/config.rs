//! What an uplink needs to know.

use std::path::PathBuf;
use std::time::Duration;

use model::Labels;

/// Certificate files for mutual TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that the replica's certificate is checked against.
    pub ca: PathBuf,
    /// Our own certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Name that the replica's certificate must carry, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

/// A checked uplink configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UplinkConfig {
    /// This agent's node name.
    pub agent: String,
    /// `host:port` of each replica's gRPC listener.
    pub endpoints: Vec<String>,
    /// Labels that everything carries away from here: external labels and `agent`.
    pub labels: Labels,
    /// Set when two agents on purpose share one name.
    pub ha_group: Option<String>,
    /// Whether silence means gone rather than down.
    pub ephemeral: bool,
    /// Frames of so long are joined into one message.
    pub flush_interval: Duration,
    /// Mutual TLS; without it the connection is plain.
    pub tls: Option<TlsFiles>,
    /// Where cursors are kept, one file a replica.
    pub cursor_dir: PathBuf,
}

impl UplinkConfig {
    /// Default of [`UplinkConfig::flush_interval`].
    pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
    /// Bytes of frames sent and not yet acknowledged, at most, for each replica.
    pub const WINDOW_BYTES: usize = 8 << 20;
    /// Bytes of frame bodies joined into one message, about.
    pub const BATCH_BYTES: usize = 512 << 10;
    /// First pause before a reconnect; doubled up to [`UplinkConfig::RECONNECT_MAX`], with full jitter.
    pub const RECONNECT_MIN: Duration = Duration::from_millis(500);
    /// Longest pause before a reconnect.
    pub const RECONNECT_MAX: Duration = Duration::from_secs(15);
}
