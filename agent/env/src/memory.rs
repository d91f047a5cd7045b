//! How much memory this process may use, and uses.

use std::fs;
use std::path::{Path, PathBuf};

/// What the kernel says that this process has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Bytes that belong to it alone.
    pub anonymous: u64,
    /// Bytes of files, the program's own among them, and of memory shared with others.
    pub mapped: u64,
}

/// What the allocator takes for so many bytes: it has four sizes for each doubling, and beneath 128 bytes every
/// sixteenth.
#[must_use]
pub fn allocated(bytes: usize) -> u64 {
    let step = match bytes {
        0 => return 0,
        1..=8 => 8,
        9..=128 => 16,
        _ => (1 << (bytes - 1).ilog2()) / 4,
    };
    bytes.next_multiple_of(step) as u64
}

/// Bytes that this process may use: the least that its control groups and the machine allow. None where nobody
/// says so.
#[must_use]
pub fn memory_max() -> Option<u64> {
    memory_max_under(Path::new("/"))
}

/// What this process has in memory; none where the kernel does not say.
#[must_use]
pub fn resident() -> Option<Resident> {
    resident_of(&fs::read_to_string("/proc/self/status").ok()?)
}

fn memory_max_under(root: &Path) -> Option<u64> {
    let machine = fs::read_to_string(root.join("proc/meminfo")).ok();
    let machine = machine.and_then(|text| kib(&text, "MemTotal:"));
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least(&root.join(mount), path, file)
    });
    limits.chain(machine).min()
}

/// The least limit of a group and of those around it. In a container the group's own path may not be there: its
/// mount is the group.
fn least(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let mut path = PathBuf::from(group.trim_start_matches('/'));
    let mut limits = Vec::new();
    loop {
        let limit = fs::read_to_string(mount.join(&path).join(file)).ok();
        limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
        if !path.pop() {
            return limits.into_iter().min();
        }
    }
}

fn resident_of(status: &str) -> Option<Resident> {
    let anonymous = kib(status, "RssAnon:")?;
    let mapped = kib(status, "RssFile:").unwrap_or(0) + kib(status, "RssShmem:").unwrap_or(0);
    Some(Resident { anonymous, mapped })
}

/// Bytes of a line in KiB.
fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// The limit of a host with these files.
    fn limit(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, text).expect("written");
        }
        memory_max_under(root.path())
    }

    #[test]
    fn the_least_limit_around_counts() {
        let ram = ("proc/meminfo", "MemTotal:  1024000 kB\nMemFree: 1 kB\n");
        let two = ("proc/self/cgroup", "0::/system.slice/agent.service\n");
        let own = |text| ("sys/fs/cgroup/system.slice/agent.service/memory.max", text);
        let outer = |text| ("sys/fs/cgroup/system.slice/memory.max", text);
        let one = ("proc/self/cgroup", "12:cpu,cpuacct:/a\n4:memory:/docker/x\n0::/docker/x\n");
        for (files, expected) in [
            (vec![], None),
            (vec![ram], Some(1_000 * MIB)),
            (vec![ram, two, own("max\n")], Some(1_000 * MIB)),
            (vec![ram, two, own("52428800\n"), outer("max\n")], Some(50 * MIB)),
            (vec![ram, two, own("max\n"), outer("52428800\n")], Some(50 * MIB)),
            // A container sees its own group as the root, whatever its path outside.
            (vec![ram, two, ("sys/fs/cgroup/memory.max", "1048576\n")], Some(MIB)),
            (
                vec![ram, one, ("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "2097152\n")],
                Some(2 * MIB),
            ),
            (
                vec![ram, one, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")],
                Some(1_000 * MIB),
            ),
            (vec![ram, two, own("no number")], Some(1_000 * MIB)),
        ] {
            assert_eq!(limit(&files), expected, "{files:?}");
        }
    }

    #[test]
    fn pieces_have_the_allocators_sizes() {
        let sizes = [
            (0, 0),
            (1, 8),
            (9, 16),
            (48, 48),
            (100, 112),
            (128, 128),
            (129, 160),
            (14_400, 16_384),
            (9_600, 10_240),
            (16_385, 20_480),
        ];
        for (asked, given) in sizes {
            assert_eq!(allocated(asked), given, "{asked}");
        }
    }

    #[test]
    fn this_process_is_in_memory() {
        let status = "VmRSS:  7 kB\nRssAnon:\t    4 kB\nRssFile:\t   2 kB\nRssShmem:\t   1 kB\n";
        assert_eq!(resident_of(status), Some(Resident { anonymous: 4 << 10, mapped: 3 << 10 }));
        assert_eq!(resident_of("nothing"), None);
        assert!(resident().is_some_and(|resident| resident.anonymous > 0));
        assert!(memory_max().is_some());
    }
}
