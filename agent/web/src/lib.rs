//! The web server that both binaries stand behind: listeners, TLS, authentication, limits, the metrics page
//! and the embedded user interface.
//!
//! It serves whatever router it is given and knows nothing of what that router answers.

mod auth;
mod connection;
mod metrics;
mod options;
mod owner;
mod security;
mod server;
mod target;
mod tls;
mod ui;
mod web_config;

pub use options::{UiInfo, WebOptions};
pub use owner::describe_bind_error;
pub use server::{Bound, WebError, WebServer};
pub use web_config::{WebConfigError, check_web_config};
