//! The page of a node_exporter: a small host (about 600 series) and a large one (about 1,230).
//!
//! Names, labels and magnitudes as version 1.5 shows them; devices of containers come and go.

mod devices;
mod kernel;

pub(super) use devices::SERIES_PER_DEVICE;

use super::builder::Builder;
use super::group::{CPU_MODES, Group};
use super::series::{Class, Model};
use super::unit::Unit;
use super::{golang, memory};

/// What a host consists of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    cpus: usize,
    disks: &'static [&'static str],
    networks: &'static [&'static str],
    mounts: &'static [(&'static str, &'static str, &'static str)],
    /// 4 KiB pages of memory.
    pages: i64,
}

/// A virtual machine.
pub(super) const SMALL: Size = Size {
    cpus: 8,
    disks: &["sda", "sr0"],
    networks: &["docker0", "eth0", "eth1", "lo"],
    mounts: &[
        ("/dev/sda1", "ext4", "/"),
        ("/dev/sda15", "vfat", "/boot/efi"),
        ("tmpfs", "tmpfs", "/run"),
        ("tmpfs", "tmpfs", "/run/lock"),
    ],
    pages: 4_091_716,
};
/// A server of bare metal.
pub(super) const LARGE: Size = Size {
    cpus: 40,
    disks: &["dm-0", "dm-1", "dm-2", "md0", "nvme0n1", "nvme1n1", "sda", "sdb"],
    networks: &["bond0", "br0", "docker0", "eno1", "eno2", "eno3", "lo"],
    mounts: &[
        ("/dev/mapper/vg-root", "ext4", "/"),
        ("/dev/mapper/vg-var", "xfs", "/var"),
        ("/dev/md0", "ext4", "/boot"),
        ("/dev/sda1", "xfs", "/srv/a"),
        ("/dev/sdb1", "xfs", "/srv/b"),
        ("tmpfs", "tmpfs", "/run"),
        ("tmpfs", "tmpfs", "/run/lock"),
    ],
    pages: 65_894_344,
};

const COLLECTORS: [&str; 46] = [
    "arp",
    "bcache",
    "bonding",
    "btrfs",
    "conntrack",
    "cpu",
    "cpufreq",
    "diskstats",
    "dmi",
    "edac",
    "entropy",
    "fibrechannel",
    "filefd",
    "filesystem",
    "hwmon",
    "infiniband",
    "ipvs",
    "loadavg",
    "mdadm",
    "meminfo",
    "netclass",
    "netdev",
    "netstat",
    "nfs",
    "nfsd",
    "nvme",
    "os",
    "powersupplyclass",
    "pressure",
    "rapl",
    "schedstat",
    "selinux",
    "sockstat",
    "softnet",
    "stat",
    "systemd",
    "tapestats",
    "textfile",
    "thermal_zone",
    "time",
    "timex",
    "udp_queues",
    "uname",
    "vmstat",
    "xfs",
    "zfs",
];

/// Writes the page.
pub(super) fn families(b: &mut Builder<'_>, size: &Size) {
    golang::families(b, "go1.19.8");
    memory::families(b, size.pages);
    cpus(b, size.cpus);
    devices::disks(b, size.disks);
    devices::networks(b, size.networks);
    devices::filesystems(b, size.mounts);
    kernel::protocols(b);
    kernel::activity(b, size.cpus);
    kernel::facts(b);
    for (name, help) in [
        ("duration_seconds", "Duration of a collector scrape."),
        ("success", "Whether a collector succeeded."),
    ] {
        b.family(&format!("node_scrape_collector_{name}"), "gauge", &format!("node_exporter: {help}"));
        for (at, collector) in COLLECTORS.iter().enumerate() {
            let labels = format!("{{collector=\"{collector}\"}}");
            if name == "success" {
                b.sample("", &labels, Unit::One, Model::Flap(Class::Seldom), i64::from(at % 9 != 1));
            } else {
                // From tens of microseconds to tens of milliseconds, each collector at its own place.
                let median = 20_000.0 * (1.17_f32).powi(at as i32 * 7 % 46);
                let number = b.draws.log_normal(f64::from(median), 0.3);
                b.sample("", &labels, Unit::Nanos, Model::Fresh(Class::Always, median, 0.3), number);
            }
        }
    }
}

/// What an interrupt line is called, of which device, its type, how readily it fires and how often a second.
const INTERRUPTS: [(&str, &str, &str, Class, f64); 9] = [
    ("IO-APIC 1-edge", "i8042", "1", Class::Seldom, 0.01),
    ("IO-APIC 8-edge", "rtc0", "8", Class::Seldom, 0.01),
    ("PCI-MSI 49152-edge", "virtio0-input.0", "24", Class::Often, 40.0),
    ("PCI-MSI 49153-edge", "virtio0-output.0", "25", Class::Rare, 4.0),
    ("PCI-MSI 65536-edge", "virtio1-req.0", "26", Class::Often, 25.0),
    ("Local timer interrupts", "", "LOC", Class::Always, 250.0),
    ("Rescheduling interrupts", "", "RES", Class::Often, 90.0),
    ("Function call interrupts", "", "CAL", Class::Rare, 8.0),
    ("TLB shootdowns", "", "TLB", Class::Rare, 2.0),
];

/// What the collector of interrupts shows, which is off by default: a series a processor and line.
pub(super) fn interrupts(b: &mut Builder<'_>, size: &Size) {
    b.family("node_interrupts_total", "counter", "Interrupt details.");
    for (info, devices, kind, class, rate) in INTERRUPTS {
        for cpu in 0..size.cpus {
            let number = b.grown(rate);
            let labels = format!("{{cpu=\"{cpu}\",devices=\"{devices}\",info=\"{info}\",type=\"{kind}\"}}");
            b.sample("", &labels, Unit::One, Model::Counter(class, rate as f32), number);
        }
    }
}

fn cpus(b: &mut Builder<'_>, cpus: usize) {
    b.family("node_cpu_seconds_total", "counter", "Seconds the CPUs spent in each mode.");
    let first = b.next();
    for cpu in 0..cpus {
        for mode in CPU_MODES {
            let (class, rate) = match mode {
                "idle" => (Class::Always, 84.0),
                "user" => (Class::Often, 10.0),
                "system" => (Class::Often, 4.0),
                "iowait" | "softirq" => (Class::Rare, 0.4),
                _ => (Class::Seldom, 0.0),
            };
            let number = b.grown(rate);
            let labels = format!("{{cpu=\"{cpu}\",mode=\"{mode}\"}}");
            b.sample("", &labels, Unit::Hundredths, Model::Linked(class), number);
        }
    }
    b.group(Group::Cpu { first, cpus });
    b.family(
        "node_cpu_guest_seconds_total",
        "counter",
        "Seconds the CPUs spent in guests (VMs) for each mode.",
    );
    for (cpu, mode) in (0..cpus).flat_map(|cpu| [(cpu, "nice"), (cpu, "user")]) {
        let labels = format!("{{cpu=\"{cpu}\",mode=\"{mode}\"}}");
        b.sample("", &labels, Unit::Hundredths, Model::Counter(Class::Seldom, 0.1), 0);
    }
    for (name, rate, class) in [
        ("dropped", 0.1, Class::Seldom),
        ("processed", 300.0, Class::Often),
        ("times_squeezed", 0.1, Class::Rare),
    ] {
        b.family(
            &format!("node_softnet_{name}_total"),
            "counter",
            "Statistics of the network stack by processor.",
        );
        for cpu in 0..cpus {
            let number = if class == Class::Seldom { 0 } else { b.grown(f64::from(rate)) };
            b.sample("", &format!("{{cpu=\"{cpu}\"}}"), Unit::One, Model::Counter(class, rate), number);
        }
    }
}
