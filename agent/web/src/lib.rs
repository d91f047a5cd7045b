//! Listener, TLS, authentication, limits, health, metrics page, UI.
