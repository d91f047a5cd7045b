//! Consensus: openraft behind a small interface.
//!
//! Commands are bytes; a [`StateMachine`] gives them meaning. No type of openraft and no generated type
//! leaves this crate, and its formats on disk and on the wire are its own.

mod ask;
mod codec;
mod engine;
mod form;
mod keep;
mod log;
mod machine;
mod members;
mod metrics;
mod net;
mod node;
mod options;
mod raft;
mod serve;
mod snapshot;
#[cfg(test)]
mod suite;
mod types;
mod wire;

pub use log::read_log;
pub use options::{MAX_COMMAND, Peer, RaftOptions, TlsFiles};
pub use raft::Raft;
pub use types::{
    Applied, ClusterStatus, LeaderId, Leadership, LoggedCommand, MemberError, NodeId, NodeRef, NodeStatus,
    ProposeError, RaftError, ReadError, StateMachine,
};
