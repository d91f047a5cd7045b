//! The page of a kubelet's cAdvisor: a few dozen containers of pods that come and go.
//!
//! Without the explicit timestamps that cAdvisor writes: they would be the scrape's own, to the millisecond.

use super::builder::Builder;
use super::group::Group;
use super::series::{Class, Model};
use super::unit::Unit;

/// Pods that stay.
const RESIDENTS: u64 = 12;
/// Series of one pod.
pub(super) const SERIES_PER_POD: usize = GAUGES.len() + COUNTERS.len() + FACTS.len() + 4;

/// Pages that walk.
const GAUGES: [(&str, Class, i64, i64); 5] = [
    ("memory_usage_bytes", Class::Often, 12_000, 60_000),
    ("memory_working_set_bytes", Class::Often, 9_000, 50_000),
    ("memory_rss", Class::Rare, 6_000, 30_000),
    ("memory_cache", Class::Rare, 1_000, 12_000),
    ("memory_mapped_file", Class::Seldom, 100, 900),
];
/// What follows `container_`, its unit, how readily it counts, and how much a second.
const COUNTERS: [(&str, Unit, Class, f32); 9] = [
    ("cpu_usage_seconds_total", Unit::Nanos, Class::Always, 40_000_000.0),
    ("cpu_user_seconds_total", Unit::Hundredths, Class::Often, 3.0),
    ("cpu_system_seconds_total", Unit::Hundredths, Class::Often, 1.0),
    ("cpu_cfs_periods_total", Unit::One, Class::Often, 8.0),
    ("cpu_cfs_throttled_periods_total", Unit::One, Class::Rare, 0.2),
    ("cpu_cfs_throttled_seconds_total", Unit::Nanos, Class::Rare, 9_000_000.0),
    ("fs_reads_bytes_total", Unit::Pages, Class::Seldom, 2.0),
    ("fs_writes_bytes_total", Unit::Pages, Class::Rare, 9.0),
    ("memory_failcnt", Unit::One, Class::Seldom, 0.1),
];
const FACTS: [(&str, i64); 6] = [
    ("spec_cpu_period", 100_000),
    ("spec_cpu_quota", 50_000),
    ("spec_cpu_shares", 256),
    ("spec_memory_limit_bytes", 536_870_912),
    ("spec_memory_reservation_limit_bytes", 0),
    ("start_time_seconds", 0),
];

/// Writes the page.
pub(super) fn families(b: &mut Builder<'_>) {
    let residents: Vec<u64> = (0..RESIDENTS).map(|_| b.draws.next()).collect();
    for id in residents {
        pod(b, id, "prod");
    }
    for id in b.identity.guests.clone() {
        pod(b, id, "jobs");
    }
    b.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.");
    b.sample("", "", Unit::One, Model::Constant, 8);
    b.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.");
    b.sample("", "", Unit::Pages, Model::Constant, 8_190_000);
    b.family("cadvisor_version_info", "gauge", "Versions of the kernel, the system, Docker and cAdvisor.");
    let labels = "{cadvisorRevision=\"\",cadvisorVersion=\"\",kernelVersion=\"6.1.0-18-amd64\",osVersion=\"Debian GNU/Linux 12\"}";
    b.sample("", labels, Unit::One, Model::Constant, 1);
}

fn pod(b: &mut Builder<'_>, id: u64, namespace: &str) {
    let app = ["cart", "checkout", "frontend", "search", "worker"][(id % 5) as usize];
    let pod = format!("{app}-{:09x}-{:05x}", (id >> 8) & 0xF_FFFF_FFFF, id & 0xF_FFFF);
    let cgroup = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{id:016x}.slice");
    let labels = format!(
        "container=\"{app}\",id=\"{cgroup}\",image=\"registry.example/{app}:2.{}.0\",name=\"{id:016x}{:016x}\",namespace=\"{namespace}\",pod=\"{pod}\"",
        b.identity.version,
        id.rotate_left(17)
    );
    let all = format!("{{{labels}}}");
    for (name, class, low, high) in GAUGES {
        b.family(&format!("container_{name}"), "gauge", "Memory of the container.");
        let number = b.draws.between(low, high);
        b.sample("", &all, Unit::Pages, Model::Walk(class, low, high), number);
    }
    for (name, unit, class, rate) in COUNTERS {
        b.family(&format!("container_{name}"), "counter", "Resources that the container has used.");
        let number = if class == Class::Seldom { 0 } else { b.grown(f64::from(rate)) };
        let labels = if name == "cpu_usage_seconds_total" {
            format!("{{cpu=\"total\",{labels}}}")
        } else {
            all.clone()
        };
        b.sample("", &labels, unit, Model::Counter(class, rate), number);
    }
    for (name, number) in FACTS {
        b.family(&format!("container_{name}"), "gauge", "What the container was started with.");
        let number = if name == "start_time_seconds" { b.identity.boot_ms / 1_000 } else { number };
        b.sample("", &all, Unit::One, Model::Constant, number);
    }
    let first = b.next();
    let labels = format!(
        "{{id=\"{cgroup}\",image=\"registry.example/pause:3.9\",interface=\"eth0\",namespace=\"{namespace}\",pod=\"{pod}\"}}"
    );
    for name in ["receive_bytes", "receive_packets", "transmit_bytes", "transmit_packets"] {
        b.family(&format!("container_network_{name}_total"), "counter", "Traffic of the pod.");
        let number = b.grown(25.0) * if name.ends_with("bytes") { 360 } else { 1 };
        b.sample("", &labels, Unit::One, Model::Linked(Class::Often), number);
    }
    b.group(Group::Network { first, rate: 25.0, class: Class::Often });
}
