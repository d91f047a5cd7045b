//! `time` and `uname`: what the kernel says of itself.

use crate::page::Page;

pub(crate) fn time(now_ms: i64, page: &mut Page) {
    // Milliseconds of this century fit an f64 exactly.
    page.gauge(
        "node_time_seconds",
        "System time in seconds since epoch (1970).",
        &[],
        now_ms as f64 / 1_000.0,
    );
}

/// What dashboards join on to find the exporter's version: ours, under node_exporter's labels.
pub(crate) fn build_info(page: &mut Page) {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("branch", "vedette"),
        ("goarch", architecture),
        ("goos", std::env::consts::OS),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    page.gauge(
        "node_exporter_build_info",
        "A metric with a constant '1' value labeled by version, revision, branch, goversion from which node_exporter was built, and the goos and goarch for the build.",
        &labels,
        1.0,
    );
}

pub(crate) fn uname(page: &mut Page) {
    let uname = rustix::system::uname();
    let labels = [
        ("sysname", uname.sysname().to_string_lossy()),
        ("release", uname.release().to_string_lossy()),
        ("version", uname.version().to_string_lossy()),
        ("machine", uname.machine().to_string_lossy()),
        ("nodename", uname.nodename().to_string_lossy()),
        ("domainname", uname.domainname().to_string_lossy()),
    ];
    let labels: Vec<(&'static str, &str)> =
        labels.iter().map(|(name, value)| (*name, value.as_ref())).collect();
    page.gauge(
        "node_uname_info",
        "Labeled system information as provided by the uname system call.",
        &labels,
        1.0,
    );
}
