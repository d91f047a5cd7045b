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
