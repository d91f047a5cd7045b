//! Protocols, sockets, load, virtual memory, the clock, and facts of the host.

use crate::fleet::builder::Builder;
use crate::fleet::group::Group;
use crate::fleet::series::{Class, Model};
use crate::fleet::unit::Unit;

/// Statistics of the protocols that count while traffic flows, with events a second.
const NETSTAT: [(&str, Class, f32); 20] = [
    ("Ip6_InOctets", Class::Rare, 900.0),
    ("Ip6_OutOctets", Class::Rare, 900.0),
    ("IpExt_InOctets", Class::Often, 60_000.0),
    ("IpExt_OutOctets", Class::Often, 45_000.0),
    ("Icmp_InMsgs", Class::Rare, 0.2),
    ("Icmp_OutMsgs", Class::Rare, 0.2),
    ("Icmp6_InMsgs", Class::Rare, 0.1),
    ("Icmp6_OutMsgs", Class::Rare, 0.1),
    ("TcpExt_TCPSynRetrans", Class::Rare, 0.1),
    ("TcpExt_TCPTimeouts", Class::Rare, 0.1),
    ("Tcp_ActiveOpens", Class::Often, 2.0),
    ("Tcp_PassiveOpens", Class::Often, 2.0),
    ("Tcp_InSegs", Class::Often, 150.0),
    ("Tcp_OutSegs", Class::Often, 160.0),
    ("Tcp_RetransSegs", Class::Rare, 0.2),
    ("Tcp_OutRsts", Class::Rare, 0.5),
    ("Udp_InDatagrams", Class::Often, 5.0),
    ("Udp_OutDatagrams", Class::Often, 5.0),
    ("Udp_NoPorts", Class::Rare, 0.05),
    ("Udp6_InDatagrams", Class::Rare, 0.2),
];

const NETSTAT_ERRORS: [&str; 22] = [
    "Icmp6_InErrors",
    "Icmp_InErrors",
    "TcpExt_ListenDrops",
    "TcpExt_ListenOverflows",
    "TcpExt_SyncookiesFailed",
    "TcpExt_SyncookiesRecv",
    "TcpExt_SyncookiesSent",
    "Tcp_InErrs",
    "Udp6_InErrors",
    "Udp6_NoPorts",
    "Udp6_OutDatagrams",
    "Udp6_RcvbufErrors",
    "Udp6_SndbufErrors",
    "UdpLite6_InErrors",
    "UdpLite_InErrors",
    "Udp_InErrors",
    "Udp_RcvbufErrors",
    "Udp_SndbufErrors",
    "TcpExt_TCPOFOQueue",
    "TcpExt_TCPRcvQDrop",
    "Ip_Forwarding",
    "Tcp_CurrEstab",
];

const SOCKETS: [(&str, i64); 20] = [
    ("FRAG6_inuse", 0),
    ("FRAG6_memory", 0),
    ("FRAG_inuse", 0),
    ("FRAG_memory", 0),
    ("RAW6_inuse", 1),
    ("RAW_inuse", 0),
    ("TCP6_inuse", 12),
    ("TCP_alloc", 80),
    ("TCP_inuse", 34),
    ("TCP_mem", 9),
    ("TCP_mem_bytes", 36_864),
    ("TCP_orphan", 0),
    ("TCP_tw", 25),
    ("UDP6_inuse", 4),
    ("UDPLITE6_inuse", 0),
    ("UDPLITE_inuse", 0),
    ("UDP_inuse", 6),
    ("UDP_mem", 3),
    ("UDP_mem_bytes", 12_288),
    ("sockets_used", 310),
];

const TIMEX: [(&str, i64); 16] = [
    ("estimated_error_seconds", 0),
    ("frequency_adjustment_ratio", 1),
    ("loop_time_constant", 10),
    ("maxerror_seconds", 0),
    ("offset_seconds", 0),
    ("pps_calibration_total", 0),
    ("pps_error_total", 0),
    ("pps_frequency_hertz", 0),
    ("pps_jitter_seconds", 0),
    ("pps_shift_seconds", 0),
    ("pps_stability_exceeded_total", 0),
    ("pps_stability_hertz", 0),
    ("status", 8_193),
    ("sync_status", 1),
    ("tai_offset_seconds", 37),
    ("tick_seconds", 0),
];

pub(super) fn protocols(b: &mut Builder<'_>) {
    for (name, class, rate) in NETSTAT {
        let number = b.grown(f64::from(rate));
        let help = format!("Statistic {}.", name.replace('_', ""));
        b.single(
            &format!("node_netstat_{name}"),
            "untyped",
            &help,
            Unit::One,
            Model::Counter(class, rate),
            number,
        );
    }
    for name in NETSTAT_ERRORS {
        let help = format!("Statistic {}.", name.replace('_', ""));
        let model = match name {
            "Ip_Forwarding" => Model::Constant,
            "Tcp_CurrEstab" => Model::Walk(Class::Often, 12, 60),
            _ => Model::Counter(Class::Seldom, 0.05),
        };
        let number = if name.starts_with("Tcp_C") { 30 } else { i64::from(name.starts_with("Ip_")) };
        b.single(&format!("node_netstat_{name}"), "untyped", &help, Unit::One, model, number);
    }
    for (name, number) in SOCKETS {
        let help = format!("Number of {name} sockets.");
        let class = if matches!(name, "TCP_alloc" | "TCP_inuse" | "TCP_tw" | "sockets_used") {
            Class::Often
        } else {
            Class::Rare
        };
        let model =
            if number < 4 { Model::Flap(Class::Seldom) } else { Model::Walk(class, number / 2, number * 2) };
        b.single(&format!("node_sockstat_{name}"), "gauge", &help, Unit::One, model, number);
    }
}

pub(super) fn activity(b: &mut Builder<'_>, cpus: usize) {
    let first = b.next();
    for name in ["1", "5", "15"] {
        let number = b.draws.between(5, 40 * cpus as i64);
        b.single(
            &format!("node_load{name}"),
            "gauge",
            &format!("{name}m load average."),
            Unit::Hundredths,
            Model::Linked(Class::Always),
            number,
        );
    }
    b.group(Group::Loads { first, cpus });
    b.counter("node_context_switches_total", "Total number of context switches.", Class::Always, 2_600.0);
    b.counter("node_intr_total", "Total number of interrupts serviced.", Class::Always, 1_500.0);
    b.counter("node_forks_total", "Total number of forks.", Class::Often, 6.0);
    b.gauge("node_procs_running", "Number of processes in runnable state.", Unit::One, Class::Often, (1, 8));
    b.gauge(
        "node_procs_blocked",
        "Number of processes blocked waiting for I/O.",
        Unit::One,
        Class::Rare,
        (0, 3),
    );
    b.gauge(
        "node_filefd_allocated",
        "File descriptor statistics: allocated.",
        Unit::One,
        Class::Often,
        (1_400, 3_600),
    );
    b.gauge(
        "node_nf_conntrack_entries",
        "Number of currently allocated flow entries for connection tracking.",
        Unit::One,
        Class::Often,
        (40, 900),
    );
    b.gauge("node_entropy_available_bits", "Bits of available entropy.", Unit::One, Class::Rare, (250, 256));
    for (name, class, rate) in [
        ("pgfault", Class::Always, 4_000.0),
        ("pgpgout", Class::Often, 120.0),
        ("pgpgin", Class::Rare, 30.0),
        ("pgmajfault", Class::Rare, 0.2),
        ("oom_kill", Class::Seldom, 0.01),
        ("pswpin", Class::Seldom, 1.0),
        ("pswpout", Class::Seldom, 1.0),
    ] {
        let number = if class == Class::Seldom { 0 } else { b.grown(f64::from(rate)) };
        let help = format!("/proc/vmstat information field {name}.");
        b.single(
            &format!("node_vmstat_{name}"),
            "untyped",
            &help,
            Unit::One,
            Model::Counter(class, rate),
            number,
        );
    }
    for (name, class, rate) in [
        ("cpu_waiting", Class::Often, 9_000.0),
        ("io_waiting", Class::Often, 4_000.0),
        ("io_stalled", Class::Rare, 3_000.0),
        ("memory_waiting", Class::Seldom, 50.0),
        ("memory_stalled", Class::Seldom, 50.0),
    ] {
        let (name, number) = (format!("node_pressure_{name}_seconds_total"), b.grown(f64::from(rate)));
        let help = "Total time in seconds that processes have waited or no process could make progress.";
        b.single(&name, "counter", help, Unit::MicrosTwice, Model::Counter(class, rate), number);
    }
    let help = "System time in seconds since epoch (1970).";
    let at = b.single("node_time_seconds", "gauge", help, Unit::Nanos, Model::Linked(Class::Always), 0);
    b.group(Group::Clock { at });
    b.single(
        "node_boot_time_seconds",
        "gauge",
        "Node boot time, in unixtime.",
        Unit::One,
        Model::Constant,
        b.identity.boot_ms / 1_000,
    );
}

pub(super) fn facts(b: &mut Builder<'_>) {
    for (name, number) in TIMEX {
        let model = if matches!(name, "maxerror_seconds" | "offset_seconds") {
            Model::Walk(Class::Often, 100, 9_000)
        } else {
            Model::Constant
        };
        let unit =
            if matches!(name, "maxerror_seconds" | "offset_seconds") { Unit::MicrosTwice } else { Unit::One };
        b.single(
            &format!("node_timex_{name}"),
            "gauge",
            "State of the kernel's clock discipline.",
            unit,
            model,
            number,
        );
    }
    for (name, number) in [
        ("node_arp_entries", 3),
        ("node_nf_conntrack_entries_limit", 262_144),
        ("node_filefd_maximum", 9_223_372),
        ("node_entropy_pool_size_bits", 256),
        ("node_selinux_enabled", 0),
        ("node_textfile_scrape_error", 0),
    ] {
        b.single(name, "gauge", "A fact of this host.", Unit::One, Model::Constant, number);
    }
    b.family(
        "node_udp_queues",
        "gauge",
        "Number of allocated memory in the kernel for UDP datagrams in bytes.",
    );
    for (ip, queue) in [("v4", "rx"), ("v4", "tx"), ("v6", "rx"), ("v6", "tx")] {
        b.sample("", &format!("{{ip=\"{ip}\",queue=\"{queue}\"}}"), Unit::One, Model::Flap(Class::Seldom), 0);
    }
    b.family(
        "node_exporter_build_info",
        "gauge",
        "A metric with a constant '1' value labeled by version, revision, branch and Go version.",
    );
    b.sample(
        "",
        "{branch=\"HEAD\",goversion=\"go1.19.8\",revision=\"1b48970ffcf5\",version=\"1.5.0\"}",
        Unit::One,
        Model::Constant,
        1,
    );
    b.family("node_uname_info", "gauge", "Labeled system information as provided by the uname system call.");
    let labels = format!(
        "{{domainname=\"(none)\",machine=\"x86_64\",nodename=\"{}\",release=\"6.1.0-18-amd64\",sysname=\"Linux\",version=\"#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1\"}}",
        b.identity.name
    );
    b.sample("", &labels, Unit::One, Model::Constant, 1);
}
