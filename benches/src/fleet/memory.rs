//! The memory of a host: some fields walk, the others follow from them exactly, in pages.

use super::builder::Builder;
use super::group::Group;
use super::series::{Class, Model, Series};
use super::unit::Unit;

/// Fields that walk between two shares of all memory, in ten-thousandths. The shares leave room for each other:
/// nothing that follows from them can fall below zero.
const WALKS: [(&str, Class, i64, i64); 13] = [
    ("AnonPages", Class::Often, 2_500, 3_500),
    ("Buffers", Class::Often, 100, 200),
    ("Cached", Class::Often, 2_000, 3_000),
    ("SReclaimable", Class::Often, 100, 200),
    ("SUnreclaim", Class::Often, 50, 100),
    ("Shmem", Class::Rare, 10, 40),
    ("KernelStack", Class::Rare, 2, 6),
    ("PageTables", Class::Often, 10, 30),
    ("Active_anon", Class::Often, 500, 2_000),
    ("Active_file", Class::Often, 1_000, 1_900),
    ("Dirty", Class::Always, 1, 60),
    ("Mapped", Class::Rare, 300, 500),
    ("Committed_AS", Class::Often, 4_000, 6_000),
];
/// Fields that follow, in the order of [`derive()`].
const FOLLOWING: [&str; 8] = [
    "MemFree",
    "MemAvailable",
    "Active",
    "Inactive",
    "Inactive_anon",
    "Inactive_file",
    "Slab",
    "KReclaimable",
];
/// Fields that stay, in ten-thousandths of all memory.
const FIXED: [(&str, i64); 12] = [
    ("MemTotal", 10_000),
    ("SwapTotal", 0),
    ("SwapFree", 0),
    ("SwapCached", 0),
    ("CommitLimit", 5_000),
    ("VmallocTotal", 21_474_836),
    ("VmallocChunk", 0),
    ("Hugetlb", 0),
    ("DirectMap1G", 8_000),
    ("DirectMap2M", 2_000),
    ("Percpu", 8),
    ("Unevictable", 0),
];
/// Fields that are zero nearly everywhere.
const IDLE: [&str; 13] = [
    "AnonHugePages",
    "Bounce",
    "FileHugePages",
    "FilePmdMapped",
    "HardwareCorrupted",
    "Mlocked",
    "NFS_Unstable",
    "SecPageTables",
    "ShmemHugePages",
    "ShmemPmdMapped",
    "VmallocUsed",
    "Writeback",
    "WritebackTmp",
];

/// The place of a walking field.
fn walk(name: &str) -> usize {
    WALKS.iter().position(|(known, ..)| *known == name).unwrap_or(0)
}

/// Where the fixed fields begin; the first of them is all memory.
const TOTAL: usize = WALKS.len() + FOLLOWING.len();

/// Writes the families of a host with so many pages.
pub(super) fn families(b: &mut Builder<'_>, pages: i64) {
    let first = b.next();
    let part = |share: i64| pages / 10_000 * share;
    for (name, class, low, high) in WALKS {
        let number = b.draws.between(part(low), part(high));
        field(b, name, Model::Walk(class, part(low), part(high)), number);
    }
    for name in FOLLOWING {
        field(b, name, Model::Linked(Class::Always), 0);
    }
    for (name, share) in FIXED {
        let number = if name == "MemTotal" { pages } else { part(share) };
        field(b, name, Model::Constant, number);
    }
    for name in IDLE {
        field(b, name, Model::Flap(Class::Seldom), 0);
    }
    for name in ["HugePages_Free", "HugePages_Rsvd", "HugePages_Surp", "HugePages_Total"] {
        let name = format!("node_memory_{name}");
        let help = format!("Memory information field {}.", &name[12..]);
        b.single(&name, "gauge", &help, Unit::One, Model::Constant, 0);
    }
    b.group(Group::Memory { first });
}

fn field(b: &mut Builder<'_>, name: &str, model: Model, number: i64) {
    let help = format!("Memory information field {name}_bytes.");
    b.single(&format!("node_memory_{name}_bytes"), "gauge", &help, Unit::Pages, model, number);
}

/// Sets what follows from the walks, as the kernel's own counts add up.
pub(super) fn derive(series: &mut [Series]) {
    let of = |name: &str| series[walk(name)].number;
    let total = series[TOTAL].number;
    let (anonymous, file) = (of("AnonPages") + of("Shmem"), of("Cached") + of("Buffers") - of("Shmem"));
    let slab = of("SReclaimable") + of("SUnreclaim");
    let held = of("AnonPages") + of("Cached") + of("Buffers") + slab + of("KernelStack") + of("PageTables");
    // What the kernel itself and its drivers hold.
    let free = total - held - total / 50;
    let reserve = total / 200;
    let spared = |pages: i64| pages - (pages / 2).min(reserve);
    let available = free - reserve + spared(file) + spared(of("SReclaimable"));
    let (active_anon, active_file) = (of("Active_anon"), of("Active_file"));
    let following = [
        free,
        available,
        active_anon + active_file,
        anonymous - active_anon + file - active_file,
        anonymous - active_anon,
        file - active_file,
        slab,
        of("SReclaimable"),
    ];
    for (series, pages) in series[WALKS.len()..].iter_mut().zip(following) {
        series.set(pages);
    }
}
