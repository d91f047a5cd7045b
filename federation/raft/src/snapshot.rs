//! Snapshot files: one image, the same on disk and on the wire.
//!
//! Image: `VDRAFTS1`, head length (u32), head (`codec::SnapshotRecord`), body length (u64), body, CRC32C of all
//! before (u32); little-endian. A file is written beside, synced and renamed, so it is whole or absent.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;

use crate::codec::{self, SnapshotRecord};

const MAGIC: &[u8; 8] = b"VDRAFTS1";

/// A checked image.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) head: SnapshotRecord,
    pub(crate) body: Bytes,
    /// The whole image, as it is stored and sent.
    pub(crate) bytes: Bytes,
}

impl Image {
    /// Builds an image.
    pub(crate) fn new(head: SnapshotRecord, body: &[u8]) -> Self {
        let encoded = head.encode_to_vec();
        let mut bytes = Vec::with_capacity(24 + encoded.len() + body.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&encoded);
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        let start = bytes.len();
        bytes.extend_from_slice(body);
        let end = bytes.len();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        let bytes = Bytes::from(bytes);
        Self { head, body: bytes.slice(start..end), bytes }
    }

    /// Checks an image.
    pub(crate) fn parse(bytes: Bytes) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("snapshot: {what}"));
        let (content, crc) = bytes.split_last_chunk::<4>().ok_or_else(|| wrong("too short"))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
            return Err(wrong("checksum differs"));
        }
        let rest = content.strip_prefix(MAGIC).ok_or_else(|| wrong("not a snapshot"))?;
        let (len, rest) = rest.split_first_chunk::<4>().ok_or_else(|| wrong("no head"))?;
        let (head, rest) =
            rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or_else(|| wrong("head is cut"))?;
        let head = codec::decode(head)?;
        let (len, body) = rest.split_first_chunk::<8>().ok_or_else(|| wrong("no body"))?;
        if u64::from_le_bytes(*len) != body.len() as u64 {
            return Err(wrong("body is cut"));
        }
        let end = content.len();
        Ok(Self { head, body: bytes.slice(end - body.len()..end), bytes })
    }

    /// Where the last covered entry stands; 0 for none.
    pub(crate) fn index(&self) -> u64 {
        self.head.last.as_ref().map_or(0, |id| id.index)
    }
}

/// The folder of a node's snapshots.
#[derive(Clone)]
pub(crate) struct SnapshotDir(PathBuf);

impl SnapshotDir {
    pub(crate) fn new(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        Ok(Self(dir.to_owned()))
    }

    /// The newest whole snapshot; what a crash left half-written is removed.
    pub(crate) fn newest(&self) -> io::Result<Option<Image>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("snapshot") => names.push(path),
                Some("part") => fs::remove_file(&path)?,
                _ => {}
            }
        }
        names.sort();
        for path in names.iter().rev() {
            match Image::parse(fs::read(path)?.into()) {
                Ok(image) => return Ok(Some(image)),
                Err(error) => tracing::error!(file = %path.display(), %error, "a snapshot is damaged"),
            }
        }
        Ok(None)
    }

    /// Stores an image durably, then removes the others.
    pub(crate) fn store(&self, image: &Image) -> io::Result<()> {
        let name = format!("{:020}.snapshot", image.index());
        let (whole, part) = (self.0.join(&name), self.0.join(format!("{name}.part")));
        let mut file = File::create(&part)?;
        file.write_all(&image.bytes)?;
        file.sync_all()?;
        fs::rename(&part, &whole)?;
        File::open(&self.0)?.sync_all()?;
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if path != whole && path.extension().is_some_and(|extension| extension == "snapshot") {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes every snapshot: they belonged to a node that this one no longer is.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(index: u64, body: &[u8]) -> Image {
        let last = Some(codec::LogIdRecord { term: 1, node: 1, index });
        Image::new(SnapshotRecord { last, ..Default::default() }, body)
    }

    #[test]
    fn an_image_survives_a_round_trip_and_no_damage() {
        let bytes = image(7, b"state").bytes;
        assert_eq!(Image::parse(bytes.clone()).expect("whole").body.as_ref(), b"state");
        for at in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1;
            assert!(Image::parse(damaged.into()).is_err(), "byte {at} changed");
            assert!(Image::parse(bytes.slice(..at)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn the_newest_whole_file_counts_and_the_rest_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = SnapshotDir::new(folder.path()).expect("usable");
        dir.store(&image(9, b"old")).expect("stored");
        dir.store(&image(10, b"new")).expect("stored");
        fs::write(folder.path().join("00000000000000000011.snapshot.part"), b"half").expect("written");
        assert_eq!(dir.newest().expect("read").expect("there").body.as_ref(), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }
}
