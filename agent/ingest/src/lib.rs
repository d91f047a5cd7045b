//! Pushed data: what others send goes to the store as rows, over the `Appender`.
//!
//! [`RemoteWrite`] receives Prometheus's remote write 1 and 2, [`Otlp`] OpenTelemetry's metrics. Below them, and for any push, `rows` and
//! `layouts` turn single series into the rows that the store is made for: series of one origin stand
//! in layouts together, and are found again by their position in the request before they are looked up.
//! Knows the store only as an `Appender`.

mod families;
mod histograms;
mod layouts;
mod metrics;
mod number;
mod otlp;
mod remote_write;
mod rows;
mod starts;
mod sweep;
mod table;

pub use otlp::{Otlp, OtlpConfig, Strategy, otlp_disabled};
pub use remote_write::{Limits, RemoteWrite, Version, remote_write_disabled};
