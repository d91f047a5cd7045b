//! The subcommands, one file each.

pub(crate) mod alertmanager;
pub(crate) mod amtool;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod demo;
pub(crate) mod run;
