//! The few things a log asks of a file system, behind a trait so that tests can make them fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A segment that is being written.
pub trait SegmentFile: Send + Sync {
    /// Writes all of `bytes` at `offset`; after an error any part of them may be there.
    ///
    /// # Errors
    /// What the operating system answers.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written survive a power cut. Never called again after it failed: the kernel
    /// may have dropped the pages and report success.
    ///
    /// # Errors
    /// What the operating system answers.
    fn sync(&self) -> io::Result<()>;
}

/// Where segments are created and removed.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist.
    ///
    /// # Errors
    /// What the operating system answers.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Makes names that were added to or removed from a folder survive a power cut.
    ///
    /// # Errors
    /// What the operating system answers.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system answers.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The host's file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(SystemFile(file)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

struct SystemFile(File);

impl SegmentFile for SystemFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
