//! How much room a file system has left.

use std::fmt;
use std::io;
use std::path::Path;

/// Room on the file system that holds a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Size of the file system in bytes.
    pub total_bytes: u64,
}

/// Asks a file system for its room.
pub trait DiskSpace: Send + Sync + fmt::Debug {
    /// Room on the file system that holds `path`.
    ///
    /// # Errors
    /// What the operating system answers.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// The host's file systems.
#[derive(Debug)]
pub struct SystemDisk;

impl DiskSpace for SystemDisk {
    fn space(&self, path: &Path) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let space = SystemDisk.space(folder.path()).expect("its room");
        assert!(space.total_bytes >= space.free_bytes && space.total_bytes > 0);
    }
}
