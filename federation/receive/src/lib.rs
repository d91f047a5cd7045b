//! Uplink server: interval sets, idempotent append.
