//! What every Go program exposes of itself: runtime, process, and its metrics page.

use super::builder::Builder;
use super::series::{Class, Model};
use super::unit::Unit;

/// Gauges of the runtime that walk: what follows `go_memstats_`, lowest and highest, in bytes.
const WALKS: [(&str, Class, i64, i64); 9] = [
    ("alloc_bytes", Class::Always, 800_000, 4_000_000),
    ("heap_alloc_bytes", Class::Always, 800_000, 4_000_000),
    ("heap_idle_bytes", Class::Often, 1_000_000, 4_000_000),
    ("heap_inuse_bytes", Class::Often, 2_000_000, 6_000_000),
    ("heap_objects", Class::Always, 7_000, 30_000),
    ("heap_released_bytes", Class::Often, 1_000_000, 4_000_000),
    ("mspan_inuse_bytes", Class::Often, 30_000, 90_000),
    ("next_gc_bytes", Class::Often, 4_194_304, 9_000_000),
    ("stack_inuse_bytes", Class::Often, 300_000, 900_000),
];
/// Gauges of the runtime that keep their value once the program has warmed up.
const FIXED: [(&str, i64); 9] = [
    ("buck_hash_sys_bytes", 1_453_201),
    ("gc_sys_bytes", 8_043_256),
    ("heap_sys_bytes", 7_766_016),
    ("mcache_inuse_bytes", 9_600),
    ("mcache_sys_bytes", 15_600),
    ("mspan_sys_bytes", 81_600),
    ("other_sys_bytes", 635_063),
    ("stack_sys_bytes", 1_409_024),
    ("sys_bytes", 17_860_872),
];

/// Writes them for a program of this Go version.
pub(super) fn families(b: &mut Builder<'_>, version: &str) {
    b.family(
        "go_gc_duration_seconds",
        "summary",
        "A summary of the pause duration of garbage collection cycles.",
    );
    for (quantile, median) in [("0", 18e3), ("0.25", 28e3), ("0.5", 41e3), ("0.75", 75e3), ("1", 900e3)] {
        let labels = format!("{{quantile=\"{quantile}\"}}");
        b.sample("", &labels, Unit::Nanos, Model::Fresh(Class::Rare, median, 0.3), median as i64);
    }
    let collected = b.grown(0.02);
    b.sample("_sum", "", Unit::Nanos, Model::Counter(Class::Rare, 1_500.0), collected * 75_000);
    b.sample("_count", "", Unit::One, Model::Counter(Class::Rare, 0.02), collected);
    b.gauge("go_goroutines", "Number of goroutines that currently exist.", Unit::One, Class::Often, (7, 60));
    b.family("go_info", "gauge", "Information about the Go environment.");
    b.sample("", &format!("{{version=\"{version}\"}}"), Unit::One, Model::Constant, 1);
    b.gauge("go_threads", "Number of OS threads created.", Unit::One, Class::Rare, (6, 12));
    for (name, class, low, high) in WALKS {
        let name = format!("go_memstats_{name}");
        b.gauge(&name, "Memory of the Go runtime that is in use.", Unit::One, class, (low, high));
    }
    for (name, number) in FIXED {
        let name = format!("go_memstats_{name}");
        b.single(&name, "gauge", "Memory obtained from system.", Unit::One, Model::Constant, number);
    }
    b.counter("go_memstats_alloc_bytes_total", "Total number of bytes allocated.", Class::Always, 60_000.0);
    b.counter("go_memstats_frees_total", "Total number of frees.", Class::Always, 900.0);
    b.counter("go_memstats_mallocs_total", "Total number of mallocs.", Class::Always, 900.0);
    b.counter("go_memstats_lookups_total", "Total number of pointer lookups.", Class::Seldom, 0.1);
    let help = "Number of seconds since 1970 of last garbage collection.";
    let collected = b.identity.boot_ms * 1_000_000 + 417_938_221;
    b.single(
        "go_memstats_last_gc_time_seconds",
        "gauge",
        help,
        Unit::Nanos,
        Model::Counter(Class::Rare, 1e9),
        collected,
    );
    process(b);
    page(b);
}

fn process(b: &mut Builder<'_>) {
    let spent = b.grown(0.6);
    let help = "Total user and system CPU time spent in seconds.";
    b.single(
        "process_cpu_seconds_total",
        "counter",
        help,
        Unit::Hundredths,
        Model::Counter(Class::Often, 0.6),
        spent,
    );
    b.single(
        "process_max_fds",
        "gauge",
        "Maximum number of open file descriptors.",
        Unit::One,
        Model::Constant,
        1_048_576,
    );
    b.gauge("process_open_fds", "Number of open file descriptors.", Unit::One, Class::Rare, (8, 40));
    b.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        Unit::Pages,
        Class::Often,
        (4_500, 9_000),
    );
    let help = "Start time of the process since unix epoch in seconds.";
    let started = b.identity.boot_ms / 10 + 1_723;
    b.single("process_start_time_seconds", "gauge", help, Unit::Hundredths, Model::Constant, started);
    let (name, help) = ("process_virtual_memory_bytes", "Virtual memory size in bytes.");
    b.single(name, "gauge", help, Unit::Pages, Model::Constant, 180_700);
}

fn page(b: &mut Builder<'_>) {
    let name = "promhttp_metric_handler_requests_total";
    b.family(name, "counter", "Total number of scrapes by HTTP status code.");
    let scrapes = b.grown(1.0 / 15.0);
    b.sample("", "{code=\"200\"}", Unit::One, Model::Counter(Class::Always, 0.01), scrapes);
    b.sample("", "{code=\"500\"}", Unit::One, Model::Counter(Class::Seldom, 0.01), 0);
    b.sample("", "{code=\"503\"}", Unit::One, Model::Counter(Class::Seldom, 0.01), 0);
    let name = "promhttp_metric_handler_requests_in_flight";
    b.single(name, "gauge", "Current number of scrapes being served.", Unit::One, Model::Constant, 1);
}
