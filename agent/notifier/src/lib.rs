//! Queue and delivery of alerts to alertmanagers.

mod config;

pub use config::{AlertmanagerConfig, NotifierConfig, PairConfig, Scheme};
