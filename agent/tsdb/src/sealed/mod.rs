//! Sealed windows: what left the head, as blocks in RocksDB. Nothing here knows the log; the store decides what
//! is sealed and when (`seal`), and merges what it reads here with what only the log has (`query`).
//!
//! The windows of a day that is past become one: a generation of the day, which takes the place of theirs.
//!
//! A window's blocks come in generations, one file each: frames that arrive late make another one, and several
//! are folded into one. Readers see what the manifest lists. A window, or a generation, leaves the manifest
//! first; its file goes when the last reader has.

mod aside;
mod check;
mod collect;
mod copy;
mod copy_day;
mod damage;
mod day;
mod db;
mod error;
mod gate;
mod identity;
mod index;
mod keys;
mod manifest;
mod mend;
mod read;
mod relocate;
mod segments;
mod store;
mod tombstones;
mod write;

pub(crate) use collect::InUse;
pub(crate) use copy::Incoming;
pub(crate) use error::SealedError;
pub(crate) use keys::BlockKey;
pub(crate) use manifest::{Generation, SealedWindow};
pub(crate) use mend::mend;
pub(crate) use read::SealedReader;
pub(crate) use segments::SealedPlace;
pub(crate) use store::{Loss, SealedStore, Vault};
pub(crate) use tombstones::Deletion;
pub(crate) use write::{GroupInput, Sealing};
