//! Wire types, ours under `v1`, foreign ones apart. Only files named `wire.rs` may use them.

/// Our own protocols, version 1: uplink, pair and raft.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("vedette.v1");
}

/// Prometheus's remote write 1 and remote read, which share messages.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod prompb {
    tonic::include_proto!("prometheus");
}

/// Prometheus's remote write 2.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod remote_write_2 {
    tonic::include_proto!("io.prometheus.write.v2");
}

/// Prometheus's protobuf exposition format (package `io.prometheus.client`).
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod prometheus {
    tonic::include_proto!("io.prometheus.client");
}

/// OpenTelemetry's protocol for metrics.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod otlp {
    tonic::include_proto!("opentelemetry.proto.metrics.v1");
}

/// Prometheus's remote write 1.
pub use prompb as remote_write_1;
