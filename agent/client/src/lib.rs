//! Outbound HTTP: TLS, authentication, limits.
