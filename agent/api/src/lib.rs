//! Prometheus HTTP API v1 over storage, promql and status traits.
