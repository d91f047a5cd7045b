//! What tests need of the world: real processes, fake exporters, a webhook sink, a proxy that cuts the line.
//!
//! Development only. Nothing here is linked into a program.

mod binaries;
mod exporter;
mod http;
mod ports;
mod process;
mod proxy;
mod sink;
mod wait;

pub use binaries::{Peer, conformance, peer, program};
pub use exporter::{FakeExporter, Served};
pub use http::{Answer, get, post, request};
pub use ports::free_port;
pub use process::Process;
pub use proxy::Proxy;
pub use sink::{Page, Sink};
pub use wait::eventually;
