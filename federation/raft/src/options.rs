//! How a node takes part: names, addresses, times, limits.

use std::path::PathBuf;
use std::time::Duration;

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::types::RaftError;

/// A command's limit in bytes: two of them and their envelope fit a message.
pub const MAX_COMMAND: usize = 6 << 20;

/// A gRPC message's limit in bytes, both ways.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// Another node, as the configuration names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its `--node-name`, when the configuration tells.
    pub name: Option<String>,
    /// `host:port` of its gRPC listener.
    pub address: String,
}

/// PEM files for TLS in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates that sign the peers' certificates.
    pub ca: PathBuf,
    /// This node's certificate chain.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The name to expect in peers' certificates, instead of their host names.
    pub server_name: Option<String>,
}

/// How a node takes part in its raft group.
#[derive(Clone, Debug)]
pub struct RaftOptions {
    /// Where log and snapshots are kept; created if missing.
    pub dir: PathBuf,
    /// This node's name, unique in the group.
    pub node_name: String,
    /// Told apart from other groups: nodes of another label are refused.
    pub cluster_label: String,
    /// `host:port` under which the others reach this node's gRPC listener.
    pub advertise: String,
    /// The other nodes; itself is recognised and skipped.
    pub peers: Vec<Peer>,
    /// Votes, but hands leadership over at once.
    pub witness: bool,
    /// Time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// A round trip that takes longer than this counts as lost. With `election_max` it bounds failover:
    /// a follower waits `election_max` since the last heartbeat, then a random time between both.
    pub election_min: Duration,
    /// A leader's lease, and the longest random wait before an election.
    pub election_max: Duration,
    /// Entries between two snapshots.
    pub snapshot_entries: u64,
    /// Bytes of commands between two snapshots, if that comes first.
    pub snapshot_bytes: u64,
    /// Entries kept in the log behind a snapshot, so that a node that was away needs no snapshot.
    pub keep_entries: u64,
    /// How long a member must have been silent before a new node of its name replaces it.
    pub replace_after: Duration,
    /// Start a cluster now if this node is empty, whatever the peers say.
    pub force_init: bool,
    /// TLS towards the peers; the federation's listener does it for the other direction.
    pub tls: Option<TlsFiles>,
}

impl RaftOptions {
    /// A node alone with the defaults: no peers, votes, no TLS.
    #[must_use]
    pub fn new(dir: PathBuf, node_name: String, advertise: String) -> Self {
        Self {
            dir,
            node_name,
            cluster_label: String::new(),
            advertise,
            peers: Vec::new(),
            witness: false,
            heartbeat: Duration::from_millis(200),
            election_min: Duration::from_millis(700),
            election_max: Duration::from_millis(1_000),
            snapshot_entries: 50_000,
            snapshot_bytes: 64 << 20,
            keep_entries: 10_000,
            replace_after: Duration::from_secs(60),
            force_init: false,
            tls: None,
        }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), RaftError> {
        let wrong = |what: String| Err(RaftError::Options(what));
        if self.node_name.is_empty() || self.node_name.len() > 255 {
            return wrong("node_name must have 1 to 255 bytes".to_owned());
        }
        if !self.advertise.contains(':') {
            return wrong(format!("advertise {:?} must be host:port", self.advertise));
        }
        if let Some(peer) = self.peers.iter().find(|peer| !peer.address.contains(':')) {
            return wrong(format!("peer {:?} must be host:port", peer.address));
        }
        if self.heartbeat.is_zero()
            || self.election_min < 2 * self.heartbeat
            || self.election_max <= self.election_min
        {
            return wrong(format!(
                "needs 2 * heartbeat {:?} <= election_min {:?} < election_max {:?}",
                self.heartbeat, self.election_min, self.election_max
            ));
        }
        if self.snapshot_entries == 0 || self.snapshot_bytes == 0 {
            return wrong("snapshot_entries and snapshot_bytes must not be 0".to_owned());
        }
        Ok(())
    }
}

impl TlsFiles {
    /// Certificates for the federation's gRPC listener: only peers that its CA signed may connect.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn server(&self) -> Result<ServerTlsConfig, RaftError> {
        Ok(ServerTlsConfig::new()
            .identity(self.identity()?)
            .client_ca_root(Certificate::from_pem(read(&self.ca)?)))
    }

    pub(crate) fn client(&self) -> Result<ClientTlsConfig, RaftError> {
        let config = ClientTlsConfig::new()
            .identity(self.identity()?)
            .ca_certificate(Certificate::from_pem(read(&self.ca)?));
        Ok(match &self.server_name {
            Some(name) => config.domain_name(name),
            None => config,
        })
    }

    fn identity(&self) -> Result<Identity, RaftError> {
        Ok(Identity::from_pem(read(&self.cert)?, read(&self.key)?))
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, RaftError> {
    std::fs::read(path).map_err(|error| RaftError::Tls(format!("{}: {error}", path.display())))
}
