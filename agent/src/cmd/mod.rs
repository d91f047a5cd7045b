//! The subcommands, one file each.

pub(crate) mod check;
pub(crate) mod promtool;
pub(crate) mod run;
pub(crate) mod test;
pub(crate) mod tsdb;
mod tsdb_analyze;
mod tsdb_repair;
