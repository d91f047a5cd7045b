//! Target groups from static lists and watched files.

mod config;

pub use config::{DiscoveryConfig, FileSdConfig, FileSdError, StaticConfig, TargetGroup};
