//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod demo;
pub(crate) mod run;
