//! Passwords, keys and certificates from files, read again when they change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use parking_lot::Mutex;

use crate::config::{Secret, Source};
use crate::error::{ClientError, ErrorKind};

/// Bytes that such a file may have: a chain of certificates is some kilobytes.
const FILE_MAX: u64 = 4 << 20;

/// When a file last changed, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

/// Contents of the files that one client names: as many as its configuration.
#[derive(Debug, Default)]
pub(crate) struct Files(Mutex<HashMap<PathBuf, (Stamp, Secret)>>);

impl Files {
    /// The text of a source, without white space at its end.
    pub(crate) fn text(&self, source: &Source) -> Result<Secret, ClientError> {
        match source {
            Source::Inline(secret) => Ok(secret.clone()),
            Source::File(path) => self.file(path),
        }
    }

    fn file(&self, path: &Path) -> Result<Secret, ClientError> {
        let stamp = stamp(path)?;
        let mut known = self.0.lock();
        if let Some((before, text)) = known.get(path)
            && *before == stamp
        {
            return Ok(text.clone());
        }
        if stamp.len > FILE_MAX {
            return Err(bad(path, &format!("{} bytes, at most {FILE_MAX}", stamp.len)));
        }
        let text = std::fs::read_to_string(path).map_err(|error| bad(path, &error))?;
        let text = Secret::new(text.trim_end());
        known.insert(path.to_owned(), (stamp, text.clone()));
        Ok(text)
    }
}

/// When the source last changed; `None` for one that cannot.
pub(crate) fn source_stamp(source: &Source) -> Result<Option<Stamp>, ClientError> {
    match source {
        Source::Inline(_) => Ok(None),
        Source::File(path) => stamp(path).map(Some),
    }
}

fn stamp(path: &Path) -> Result<Stamp, ClientError> {
    let metadata = std::fs::metadata(path).map_err(|error| bad(path, &error))?;
    Ok(Stamp { modified: metadata.modified().ok(), len: metadata.len() })
}

fn bad(path: &Path, what: &dyn std::fmt::Display) -> ClientError {
    ClientError::new(ErrorKind::BadFile, format!("unable to read file {}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("password");
        let (files, source) = (Files::default(), Source::File(path.clone()));
        let error = files.text(&source).expect_err("no file");
        assert_eq!(error.kind(), ErrorKind::BadFile);
        assert!(error.to_string().contains("password"), "{error}");
        for content in ["one\n", "three"] {
            std::fs::write(&path, content).expect("written");
            assert_eq!(files.text(&source).expect("read").expose(), content.trim_end());
        }
    }
}
