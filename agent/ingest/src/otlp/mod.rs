//! OpenTelemetry's protocol for metrics: the route `POST /api/v1/otlp/v1/metrics`, and how its metrics become series as
//! Prometheus makes them.
//!
//! A request is read into [`data`], from protobuf or JSON; [`translate`] turns that into series under the names that
//! [`names`] gives; the receiver stages them as rows.

mod data;
mod histograms;
mod json;
mod names;
mod protobuf;
mod receiver;
mod route;
mod translate;

pub use names::Strategy;
pub use receiver::Otlp;
pub use route::otlp_disabled;
pub use translate::OtlpConfig;

#[cfg(test)]
mod tests;
