//! What both binaries need around the rooms: the process as the API shows it, and adapters between
//! rooms that must not know each other.

pub mod check;
pub mod cli;
mod features;
pub mod flags;
pub mod go_text;
pub mod heap;
pub mod http_config;
pub mod lifecycle;
mod maintain;
pub mod process;
pub mod query_log;
pub mod rules_status;
pub mod safe_mode;
pub mod signals;
pub mod store_admin;
pub mod store_status;
pub mod targets;
pub mod unit_test;

pub use maintain::{compact, give_back_program, maintain};
