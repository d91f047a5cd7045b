//! Disks, network devices and file systems; devices of containers come and go.

use crate::fleet::builder::Builder;
use crate::fleet::group::Group;
use crate::fleet::series::{Class, Model};
use crate::fleet::unit::Unit;

const DISK_LINKED: [(&str, &str, Unit); 10] = [
    ("reads_completed_total", "The total number of reads completed successfully.", Unit::One),
    ("reads_merged_total", "The total number of reads merged.", Unit::One),
    ("read_bytes_total", "The total number of bytes read successfully.", Unit::One),
    ("read_time_seconds_total", "The total number of seconds spent by all reads.", Unit::MillisTimes),
    ("writes_completed_total", "The total number of writes completed successfully.", Unit::One),
    ("writes_merged_total", "The number of writes merged.", Unit::One),
    ("written_bytes_total", "The total number of bytes written successfully.", Unit::One),
    (
        "write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        Unit::MillisTimes,
    ),
    ("io_time_seconds_total", "Total seconds spent doing I/Os.", Unit::MillisTimes),
    ("io_time_weighted_seconds_total", "The weighted # of seconds spent doing I/Os.", Unit::MillisTimes),
];

const DISK_RARE: [&str; 5] = [
    "discards_completed_total",
    "discards_merged_total",
    "discarded_sectors_total",
    "flush_requests_total",
    "io_now",
];

const NET_LINKED: [&str; 4] =
    ["receive_bytes_total", "receive_packets_total", "transmit_bytes_total", "transmit_packets_total"];

const NET_COUNTERS: [&str; 17] = [
    "receive_compressed_total",
    "receive_drop_total",
    "receive_errs_total",
    "receive_fifo_total",
    "receive_frame_total",
    "receive_multicast_total",
    "receive_nohandler_total",
    "transmit_carrier_total",
    "transmit_colls_total",
    "transmit_compressed_total",
    "transmit_drop_total",
    "transmit_errs_total",
    "transmit_fifo_total",
    "carrier_changes_total",
    "carrier_down_changes_total",
    "carrier_up_changes_total",
    "dormant",
];

const NET_FACTS: [(&str, i64); 11] = [
    ("address_assign_type", 0),
    ("carrier", 1),
    ("device_id", 0),
    ("flags", 4_099),
    ("iface_id", 2),
    ("iface_link", 2),
    ("iface_link_mode", 0),
    ("mtu_bytes", 1_500),
    ("net_dev_group", 0),
    ("protocol_type", 1),
    ("transmit_queue_length", 1_000),
];
/// Series that one network device has.
pub(crate) const SERIES_PER_DEVICE: usize = NET_COUNTERS.len() + NET_FACTS.len() + NET_LINKED.len() + 1;

pub(super) fn disks(b: &mut Builder<'_>, disks: &[&str]) {
    // One group is one device: its series stand side by side here, and by family on the page.
    for (at, device) in disks.iter().enumerate() {
        let (class, rate) = if at == 0 { (Class::Often, 12.0) } else { (Class::Rare, 2.0) };
        let (first, labels) = (b.next(), format!("{{device=\"{device}\"}}"));
        for (name, help, unit) in DISK_LINKED {
            let number = b.grown(rate) * if name.ends_with("bytes_total") { 12_288 } else { 1 };
            b.family(&format!("node_disk_{name}"), "counter", help);
            b.sample("", &labels, unit, Model::Linked(class), number);
        }
        b.group(Group::Disk { first, rate, class });
        for name in DISK_RARE {
            let kind = if name == "io_now" { "gauge" } else { "counter" };
            let model = if name == "io_now" {
                Model::Walk(Class::Rare, 0, 4)
            } else {
                Model::Counter(Class::Rare, 0.3)
            };
            b.family(&format!("node_disk_{name}"), kind, "The number of I/Os of this kind.");
            b.sample("", &labels, Unit::One, model, 0);
        }
        b.family("node_disk_info", "gauge", "Info of /sys/block/<block_device>.");
        let serial = b.draws.next();
        let labels = format!(
            "{{device=\"{device}\",major=\"8\",minor=\"{}\",model=\"disk\",path=\"pci-0000:00:{at:02}.0\",revision=\"2.5+\",serial=\"{serial:016X}\",wwn=\"\"}}",
            at * 16
        );
        b.sample("", &labels, Unit::One, Model::Constant, 1);
    }
}

pub(super) fn networks(b: &mut Builder<'_>, networks: &[&str]) {
    let containers: Vec<String> =
        b.identity.guests.iter().map(|guest| format!("veth{:07x}", guest & 0xFFF_FFFF)).collect();
    let devices = networks.iter().copied().chain(containers.iter().map(String::as_str));
    for device in devices {
        let (class, rate) = match device {
            "lo" => (Class::Often, 20.0),
            "eth0" | "eno1" | "bond0" => (Class::Often, 180.0),
            _ => (Class::Rare, 5.0),
        };
        let (first, labels) = (b.next(), format!("{{device=\"{device}\"}}"));
        for name in NET_LINKED {
            let number = b.grown(rate) * if name.contains("bytes") { 360 } else { 1 };
            b.family(&format!("node_network_{name}"), "counter", "Network device statistic.");
            b.sample("", &labels, Unit::One, Model::Linked(class), number);
        }
        b.group(Group::Network { first, rate, class });
        for name in NET_COUNTERS {
            let model = if name == "dormant" {
                Model::Flap(Class::Seldom)
            } else {
                Model::Counter(Class::Seldom, 0.05)
            };
            let kind = if name == "dormant" { "gauge" } else { "counter" };
            b.family(&format!("node_network_{name}"), kind, "Network device statistic.");
            b.sample("", &labels, Unit::One, model, i64::from(name.contains("carrier_")));
        }
        for (name, number) in NET_FACTS {
            b.family(&format!("node_network_{name}"), "gauge", "Network device property.");
            b.sample("", &labels, Unit::One, Model::Constant, number);
        }
        b.family("node_network_up", "gauge", "Value is 1 if operstate is 'up', 0 otherwise.");
        b.sample("", &labels, Unit::One, Model::Flap(Class::Seldom), 1);
    }
}

pub(super) fn filesystems(b: &mut Builder<'_>, mounts: &[(&str, &str, &str)]) {
    for (device, kind, mount) in mounts {
        let labels = format!("{{device=\"{device}\",fstype=\"{kind}\",mountpoint=\"{mount}\"}}");
        let (class, pages) =
            if *kind == "tmpfs" { (Class::Seldom, 400_000) } else { (Class::Rare, 12_000_000) };
        let class = if *mount == "/" { Class::Often } else { class };
        let (first, free) = (b.next(), b.draws.between(pages / 5, pages / 2));
        for (name, unit, number) in [
            ("avail_bytes", Unit::Pages, free),
            ("free_bytes", Unit::Pages, free + pages / 20),
            ("files_free", Unit::One, pages / 2 + free / 50),
        ] {
            b.family(&format!("node_filesystem_{name}"), "gauge", "Filesystem space that is left.");
            b.sample("", &labels, unit, Model::Linked(class), number);
        }
        b.group(Group::Filesystem { first, class });
        for (name, unit, number) in [
            ("size_bytes", Unit::Pages, pages),
            ("files", Unit::One, pages),
            ("readonly", Unit::One, 0),
            ("device_error", Unit::One, 0),
        ] {
            b.family(&format!("node_filesystem_{name}"), "gauge", "Filesystem fact.");
            b.sample("", &labels, unit, Model::Constant, number);
        }
    }
}
