//! YAML with positions: a tree of nodes, strict schemas to walk it with, and the pieces that
//! prometheus.yml and alertmanager.yml share (`http_config`, durations, sizes, URLs).
//!
//! Knows no configuration file of its own and opens none.

mod client_config;
mod emit;
mod error;
mod field;
pub mod http;
mod node;
mod plain;
mod scalar;
mod schema;
mod tree;
mod view;
mod walk;

pub use client_config::{client_config, join, tls_config};
pub use emit::redacted;
pub use error::{ConfigErrors, Located, Position};
pub use field::{Field, field};
pub use node::{Entry, Kind, Node};
pub use plain::Plain;
pub use scalar::{check_url, format_size, parse_go_duration, parse_size};
pub use schema::{Schema, Type};
pub use tree::{MAX_NODES, parse};
pub use view::View;
pub use walk::Checker;

#[cfg(test)]
mod tests;
