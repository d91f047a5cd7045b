//! Debian's Prometheus as a reader of our remote read.

use std::path::Path;

use testkit::{Process, free_port};

use crate::Folder;

/// A Prometheus that has no samples of its own and asks `server` for all of them: its URL, and the process.
///
/// # Panics
/// When it cannot be started.
#[must_use]
pub fn remote_reader(folder: &Folder, program: &Path, name: &str, server: &str) -> (String, Process) {
    let config = format!("remote_read:\n  - url: {server}/api/v1/read\n    read_recent: true\n");
    let config = folder.file(&format!("{name}.yml"), &config);
    let port = free_port();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.path().join(format!("{name}.data")).display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--enable-feature=native-histograms".to_owned(),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let log = folder.path().join(format!("{name}.log"));
    (format!("http://127.0.0.1:{port}"), Process::start(program, &arguments, &log).expect("a reader"))
}
