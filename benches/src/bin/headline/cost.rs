//! What a process has cost so far, as /proc tells it, and what a folder holds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Ticks of the kernel's process times in a second, on every Linux that Debian ships.
const TICKS: f64 = 100.0;

/// What one process has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Seconds on a processor: user and kernel.
    pub(crate) cpu: f64,
    /// Resident bytes now: all, what no file backs, what files back.
    pub(crate) rss: f64,
    pub(crate) anon: f64,
    pub(crate) file: f64,
    /// Bytes handed to write calls (on sockets too, where the program uses `write`).
    pub(crate) written: f64,
    /// Bytes on their way to the device.
    pub(crate) device: f64,
}

impl Cost {
    /// Of a running process.
    pub(crate) fn of(id: u32) -> Result<Self> {
        let folder = Path::new("/proc").join(id.to_string());
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).with_context(|| format!("{}: the process has ended", path.display()))
        };
        let (status, io) = (read("status")?, read("io")?);
        let kib = |name: &str| field(&status, name).map(|kib| kib * 1_024.0);
        Ok(Self {
            cpu: cpu_seconds(&read("stat")?, &folder)?,
            rss: kib("VmRSS:")?,
            anon: kib("RssAnon:")?,
            file: kib("RssFile:")? + kib("RssShmem:")?,
            written: field(&io, "wchar:")?,
            device: field(&io, "write_bytes:")?,
        })
    }

    /// What was used since `before`; memory as it is now.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            written: self.written - before.written,
            device: self.device - before.device,
            ..self
        }
    }
}

/// The most bytes of a process that were resident since [`forget_peak`].
pub(crate) fn peak(id: u32) -> Result<f64> {
    let path = format!("/proc/{id}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("{path}: the process has ended"))?;
    Ok(field(&status, "VmHWM:")? * 1_024.0)
}

/// Lets the kernel forget the most that was resident (proc(5), `clear_refs`).
pub(crate) fn forget_peak(id: u32) -> Result<()> {
    let path = format!("/proc/{id}/clear_refs");
    fs::write(&path, "5").with_context(|| path)
}

/// Of the threads that live to the nanosecond, or of the whole process in ticks where that is more.
fn cpu_seconds(stat: &str, folder: &Path) -> Result<f64> {
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit_once(')').context("a stat line")?.1.split_whitespace().collect();
    let tick = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).context("ticks");
    let threads = fs::read_dir(folder.join("task"))?.flatten();
    let nanoseconds = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    Ok(((tick(11)? + tick(12)?) / TICKS).max(nanoseconds.sum::<f64>() / 1e9))
}

fn field(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
    let number = line.split_whitespace().next().with_context(|| format!("{name} is empty"))?;
    number.parse().with_context(|| format!("{name} {number}"))
}

/// Bytes that a folder occupies on its disk. Files that vanish meanwhile count nothing.
pub(crate) fn disk_use(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_use(&entry.path()),
        // Blocks are of 512 bytes whatever the file system's own are (stat(2)).
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_a_cost() {
        let cost = Cost::of(std::process::id()).unwrap();
        assert!(cost.rss > 1e5 && cost.rss >= cost.anon);
        assert!(Cost::of(u32::MAX).is_err());
    }

    #[test]
    fn the_most_that_was_resident_is_at_least_what_is() {
        let id = std::process::id();
        forget_peak(id).unwrap();
        let room = vec![1_u8; 64 << 20];
        assert!(peak(id).unwrap() >= room.len() as f64);
    }

    #[test]
    fn a_folder_is_counted_whole() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        fs::write(dir.path().join("in/file"), vec![1; 10_000]).unwrap();
        assert!(disk_use(dir.path()) >= 10_000);
        assert_eq!(disk_use(&dir.path().join("missing")), 0);
    }
}
