//! Remote write 1 and 2: the receiver, and its route `POST /api/v1/write`.

mod decode;
mod histogram;
mod message;
mod negotiate;
mod plain;
pub(crate) mod protobuf;
mod receiver;
mod route;
mod write;

pub use message::Version;
pub use receiver::{Limits, RemoteWrite};
pub use route::remote_write_disabled;
