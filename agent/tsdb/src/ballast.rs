//! Bytes that are kept so that they can be given up: on a disk that is full to the last byte, what was received
//! could not be recorded, and nothing past its retention would ever be dropped.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Room for a checkpoint of some thousand streams, and for what was being written when the disk was full.
const BYTES: usize = 2 << 20;

/// A file of zeros, and the inode that it takes.
#[derive(Debug)]
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.join("ballast"))
    }

    /// Takes the room, where it is not taken yet.
    pub(crate) fn take(&self) {
        if fs::metadata(&self.0).is_ok_and(|found| found.len() == BYTES as u64) {
            return;
        }
        if let Err(error) = self.make() {
            tracing::debug!(path = %self.0.display(), %error, "no room is kept for a full disk");
            self.give_up();
        }
    }

    fn make(&self) -> io::Result<()> {
        let mut file = File::create(&self.0)?;
        file.write_all(&vec![0; BYTES])?;
        file.sync_data()
    }

    /// Gives the room back; whether there was any.
    pub(crate) fn give_up(&self) -> bool {
        fs::remove_file(&self.0).is_ok()
    }
}
