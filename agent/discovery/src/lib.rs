//! Target groups from static lists and watched files.
//!
//! One [`Discovery`] per job announces the job's groups, all of them, whenever they change. Knows
//! nothing of what is done with targets.

mod config;
mod discovery;
mod file;
mod metrics;
mod parse;
mod watch;

pub use config::{DiscoveryConfig, FileSdConfig, FileSdError, StaticConfig, TargetGroup};
pub use discovery::Discovery;
pub use file::expand as target_files;
pub use metrics::DiscoveryMetrics;
pub use parse::{FileError, read as read_target_file};
