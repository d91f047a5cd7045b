//! Outbound HTTP: TLS, authentication, limits.
//!
//! One [`Client`] per configured destination set; it keeps connections alive and reads passwords and
//! certificates anew when their files change. Knows nothing of what is sent or why.

mod client;
mod config;
mod dial;
mod error;
mod failure;
mod files;
mod hop;
mod link;
mod secure;
mod session;
mod tls;

pub use client::{Client, Head, Limits, Response};
pub use config::{Auth, HttpClientConfig, Proxy, Secret, Source, TlsConfig, TlsVersion};
pub use error::{ClientError, ErrorKind};
pub use secure::Secure;
pub use session::{Answer, Session};
