//! prometheus.yml with our key `vedette`, rule files included: text to checked types.
//!
//! [`Config::load`] accepts what Prometheus accepts and refuses the rest with
//! `file:line:column: what, and what is expected`. [`Loaded::unsupported`] lists valid keys whose
//! part is not built. What is loaded is checked once and then cannot be wrong.

mod alerting;
mod env;
mod files;
mod global;
mod job;
mod load;
mod otlp;
mod relabel;
mod rule_file;
mod schema;
mod sd;
mod storage;
mod vedette;

pub use global::{Global, Limits};
pub use load::{Config, Loaded};
pub use rule_file::{load_rules, load_rules_with, parse_rules};
pub use storage::StorageSection;
pub use vedette::{
    AgentSection, FederationLink, FederationSection, HostSection, Node, Pair, PeerTls, VedetteConfig,
};
pub use yaml::{ConfigErrors, Located, Position};
