//! `filesystem`: room on each mounted file system.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::AnchoredRegex;

use super::CollectError;
use crate::page::Page;

const FILE: &str = "/proc/1/mounts";
const MOUNTS_IGNORED: &str =
    r"/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/.*)";
const TYPES_IGNORED: &str = "autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs";
/// A mount that takes longer is stuck, and left alone until its answer came.
const STUCK: Duration = Duration::from_secs(5);
/// Threads that may wait for stuck mounts at one time; further mounts are reported as errors.
const STUCK_MAX: usize = 4;

#[derive(Debug)]
pub(crate) struct Filesystem {
    root: PathBuf,
    mounts_ignored: Option<AnchoredRegex>,
    types_ignored: Option<AnchoredRegex>,
    stuck: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    device: String,
    point: String,
    kind: String,
    readonly: bool,
}

/// What a file system says of itself.
#[derive(Clone, Copy, Debug)]
struct Room {
    size: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

impl Filesystem {
    pub(crate) fn new(root: PathBuf) -> Self {
        let regex = |text| AnchoredRegex::new(text).ok();
        Self {
            root,
            mounts_ignored: regex(MOUNTS_IGNORED),
            types_ignored: regex(TYPES_IGNORED),
            stuck: Arc::default(),
        }
    }

    pub(crate) fn collect(&self, mounts: &str, page: &mut Page) -> Result<(), CollectError> {
        let mut seen = BTreeSet::new();
        for mount in self.mounts(mounts)? {
            if !seen.insert((mount.device.clone(), mount.point.clone())) {
                continue;
            }
            let path = self.root.join(mount.point.trim_start_matches('/'));
            match self.ask(&mount.point, path) {
                Ok(room) => write_room(&mount, room, page),
                Err(why) => {
                    let labels = labels(&mount, &why);
                    page.gauge(
                        "node_filesystem_device_error",
                        "Whether an error occurred while getting statistics for the given device.",
                        &labels,
                        1.0,
                    );
                }
            }
        }
        Ok(())
    }

    fn mounts(&self, text: &str) -> Result<Vec<Mount>, CollectError> {
        let ignored = |regex: &Option<AnchoredRegex>, text: &str| {
            regex.as_ref().is_some_and(|regex| regex.is_match(text))
        };
        let mut out = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let [device, point, kind, options, ..] = fields[..] else {
                return Err(CollectError::Parse { file: FILE, what: format!("no mount: {line:?}") });
            };
            let point = unescape(point);
            if ignored(&self.mounts_ignored, &point) || ignored(&self.types_ignored, kind) {
                continue;
            }
            let readonly = options.split(',').any(|option| option == "ro");
            out.push(Mount { device: unescape(device), point, kind: kind.to_owned(), readonly });
        }
        Ok(out)
    }

    /// Asks on a thread of its own: a dead network mount never answers, and must not stop the rest.
    fn ask(&self, point: &str, path: PathBuf) -> Result<Room, String> {
        let mut waiting = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.contains(point) || waiting.len() >= STUCK_MAX {
            return Err("stuck".to_owned());
        }
        waiting.insert(point.to_owned());
        drop(waiting);
        let (sender, answer) = sync_channel(1);
        let (stuck, key) = (Arc::clone(&self.stuck), point.to_owned());
        let asked = std::thread::Builder::new().name("statfs".to_owned()).spawn(move || {
            let room = statfs(&path);
            stuck.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
            // Nobody listens any more when the mount was stuck.
            let _ = sender.send(room);
        });
        if let Err(error) = asked {
            self.stuck.lock().unwrap_or_else(PoisonError::into_inner).remove(point);
            return Err(error.to_string());
        }
        match answer.recv_timeout(STUCK) {
            Ok(room) => room,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err("stuck".to_owned()),
        }
    }
}

fn statfs(path: &Path) -> Result<Room, String> {
    let stat = rustix::fs::statvfs(path).map_err(|error| error.to_string())?;
    // Up to 2^53 blocks a block count is exact.
    let bytes = |blocks: u64| blocks as f64 * stat.f_frsize as f64;
    Ok(Room {
        size: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail),
        files: stat.f_files as f64,
        files_free: stat.f_ffree as f64,
    })
}

fn labels<'a>(mount: &'a Mount, error: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("device", &mount.device),
        ("mountpoint", &mount.point),
        ("fstype", &mount.kind),
        ("device_error", error),
    ]
}

fn write_room(mount: &Mount, room: Room, page: &mut Page) {
    let labels = labels(mount, "");
    let readonly = if mount.readonly { 1.0 } else { 0.0 };
    let families = [
        ("size_bytes", "Filesystem size in bytes.", room.size),
        ("free_bytes", "Filesystem free space in bytes.", room.free),
        ("avail_bytes", "Filesystem space available to non-root users in bytes.", room.available),
        ("files", "Filesystem total file nodes.", room.files),
        ("files_free", "Filesystem total free file nodes.", room.files_free),
        ("readonly", "Filesystem read-only status.", readonly),
        ("device_error", "Whether an error occurred while getting statistics for the given device.", 0.0),
    ];
    for (name, help, value) in families {
        page.gauge(format!("node_filesystem_{name}"), help, &labels, value);
    }
}

/// Undoes the kernel's octal escapes of blanks in paths.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_file_systems_are_listed() {
        let text = "/dev/vda / ext4 rw,relatime 0 0\nproc /proc proc rw 0 0\ntmpfs /run tmpfs rw 0 0\noverlay /x overlay rw 0 0\nnas:/a /mnt/a\\040b nfs ro 0 0\n/dev/b /var/lib/docker/x ext4 rw 0 0\ntmpfs /dev/shm tmpfs rw 0 0\n";
        let mounts = Filesystem::new("/".into()).mounts(text).expect("valid");
        let points: Vec<_> = mounts.iter().map(|mount| (mount.point.as_str(), mount.readonly)).collect();
        assert_eq!(points, [("/", false), ("/run", false), ("/mnt/a b", true)]);
        assert!(Filesystem::new("/".into()).mounts("garbage\n").is_err());
    }

    #[test]
    fn a_mount_that_is_gone_is_an_error_of_its_own() {
        let mut page = Page::default();
        let text = "/dev/x /no/such/place ext4 rw 0 0\n/dev/vda / ext4 rw 0 0\n/dev/vda / ext4 rw 0 0\n";
        Filesystem::new("/".into()).collect(text, &mut page).expect("the rest is read");
        assert_eq!(page.samples.len(), 8);
        assert_eq!(
            (page.samples[0].name.as_str(), page.samples[0].value),
            ("node_filesystem_device_error", 1.0)
        );
    }
}
