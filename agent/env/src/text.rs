//! Giving back the pages of the program's own file that only its start, or work long past, needed. The kernel maps
//! such a file generously, sixteen pages around each one that is touched, and takes them back only when the machine
//! is short of memory: without this an idle process holds most of its program.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// A part of the program's file in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    start: usize,
    end: usize,
    /// Whether the process can write there.
    is_writable: bool,
    /// Whether pages of it belong to the process alone, such as addresses that were filled in when it was loaded.
    is_changed: bool,
}

/// Takes the program's unchanged pages out of this process's memory. What is used again comes back from the kernel's
/// file cache, at the cost of a page fault; nothing is written. Gives the bytes of the ranges, pages that were not in
/// memory among them.
///
/// # Errors
/// What the kernel says where it does not let the process see or change its mappings.
pub fn give_back_program() -> io::Result<u64> {
    let program = fs::read_link("/proc/self/exe")?;
    let mappings = mappings_of(&program, BufReader::new(File::open("/proc/self/smaps")?))?;
    let mut given = 0;
    for mapping in mappings.iter().filter(|mapping| !mapping.is_writable && !mapping.is_changed) {
        drop_pages(mapping)?;
        given += (mapping.end - mapping.start) as u64;
    }
    Ok(given)
}

#[allow(unsafe_code, reason = "no safe interface takes addresses")]
fn drop_pages(mapping: &Mapping) -> io::Result<()> {
    use rustix::mm::{Advice, madvise};
    // SAFETY: the range is a private mapping of the program's own file, made by the loader, that stays as long as the
    // process and can not be written; the kernel said that no page of it differs from the file. Dropped pages are
    // read from that very file when they are touched.
    unsafe { madvise(mapping.start as *mut _, mapping.end - mapping.start, Advice::LinuxDontNeed) }?;
    Ok(())
}

/// The first run of adjoining mappings of the program's file: those that the loader made. A later one, such as a
/// backtrace makes to read names, may go at any time and is left alone.
fn mappings_of(program: &Path, smaps: impl BufRead) -> io::Result<Vec<Mapping>> {
    let mut found: Vec<Mapping> = Vec::new();
    for line in smaps.lines() {
        let line = line?;
        if let Some(field) = line.strip_prefix("Anonymous:") {
            if let Some(mapping) = found.last_mut() {
                mapping.is_changed = field.trim() != "0 kB";
            }
            continue;
        }
        let Some((mapping, is_private, path)) = heading(&line) else { continue };
        let adjoins = found.last().is_none_or(|last| last.end == mapping.start);
        if Path::new(path) == program && is_private && adjoins {
            found.push(mapping);
        } else if !found.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// `START-END PERMISSIONS OFFSET DEVICE INODE PATH`; a mapping counts as changed until the kernel says that it is not.
fn heading(line: &str) -> Option<(Mapping, bool, &str)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    let permissions = words.next()?;
    let path = line.find('/').map_or("", |at| &line[at..]);
    let mapping = Mapping { start, end, is_writable: permissions.contains('w'), is_changed: true };
    Some((mapping, permissions.ends_with('p'), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(smaps: &str) -> Vec<(usize, usize, bool, bool)> {
        let found = mappings_of(Path::new("/opt/a program"), smaps.as_bytes()).expect("read");
        found.iter().map(|one| (one.start, one.end, one.is_writable, one.is_changed)).collect()
    }

    const LOADED: &str = "\
1000-2000 r--p 00000000 fe:00 12 /opt/a program
Anonymous:             0 kB
2000-5000 r-xp 00001000 fe:00 12 /opt/a program
Rss:                  12 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
5000-6000 r--p 00003000 fe:00 12 /opt/a program
Anonymous:             4 kB
6000-7000 rw-p 00004000 fe:00 12 /opt/a program
Anonymous:             4 kB
";

    #[test]
    fn the_loaders_mappings_are_told_from_others() {
        let loaded = [
            (0x1000, 0x2000, false, false),
            (0x2000, 0x5000, false, false),
            (0x5000, 0x6000, false, true),
            (0x6000, 0x7000, true, true),
        ];
        let other = "7000-8000 r-xp 00000000 fe:00 13 /lib/other.so\nAnonymous: 0 kB\n";
        let read = "9000-f000 r--p 00000000 fe:00 12 /opt/a program\nAnonymous: 0 kB\n";
        let heap = "7000-8000 rw-p 00000000 00:00 0 [heap]\nAnonymous: 4 kB\n";
        for rest in ["", other, read, heap, &format!("{other}{read}")] {
            assert_eq!(found(&format!("{LOADED}{rest}")), loaded, "{rest}");
            assert_eq!(found(&format!("{}{LOADED}{rest}", "0-800 r-xp 0 00:00 0 [x]\n")), loaded, "{rest}");
        }
    }

    #[test]
    fn what_is_not_said_counts_as_changed() {
        let shared = "2000-5000 r-xs 00001000 fe:00 12 /opt/a program\n";
        assert_eq!(found("1000-2000 r-xp 0 fe:00 1 /opt/a program\n"), [(0x1000, 0x2000, false, true)]);
        assert_eq!(found(shared), []);
        assert_eq!(found("no mapping at all\n"), []);
    }

    #[test]
    fn pages_come_back_as_they_were() {
        static TABLE: [u64; 4096] = [0x5eed; 4096];
        let sum = || std::hint::black_box(&TABLE).iter().sum::<u64>();
        let before = sum();
        let given = give_back_program().expect("given back");
        assert!(given > 0);
        let after = resident_of_program().expect("said");
        assert!(after < given, "{after} of {given} are in memory");
        assert_eq!(sum(), before);
        assert!(resident_of_program().expect("said") > 0);
    }

    /// Bytes in memory of the loader's unchanged mappings.
    fn resident_of_program() -> Option<u64> {
        let program = fs::read_link("/proc/self/exe").ok()?;
        let smaps = fs::read_to_string("/proc/self/smaps").ok()?;
        let ours = mappings_of(&program, smaps.as_bytes()).ok()?;
        let mut sum = 0;
        let mut counts = false;
        for line in smaps.lines() {
            if let Some((mapping, ..)) = heading(line) {
                counts =
                    ours.iter().any(|one| one.start == mapping.start && !one.is_changed && !one.is_writable);
            } else if let (true, Some(kib)) = (counts, line.strip_prefix("Rss:")) {
                sum += kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10;
            }
        }
        Some(sum)
    }
}
