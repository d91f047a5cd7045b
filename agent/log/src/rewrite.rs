//! Writing a damaged segment anew from its intact records, for tools: nobody has the log open.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::LogError;
use crate::record::{self, Record};
use crate::scan::{Found, segment_path, survey_segment};

/// What became of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rewritten {
    /// Records that stay.
    pub kept: u64,
    /// Records that were left out.
    pub left_out: u64,
    /// Bytes that were no record.
    pub damaged_bytes: u64,
}

/// Writes a segment anew with those of its records that `keep` passes, and puts the file as it was into `aside`.
/// Without any record only that is done. At every moment the one or the other is in the log, whole.
///
/// # Errors
/// When a file cannot be read or written; then the segment is as it was.
pub fn rewrite_segment(
    dir: &Path,
    segment: u64,
    aside: &Path,
    keep: &mut dyn FnMut(&Record) -> bool,
) -> Result<Rewritten, LogError> {
    let path = segment_path(dir, segment);
    let fresh = path.with_extension("seg-repaired");
    let written = write(dir, segment, &fresh, keep);
    let done = written.and_then(|rewritten| {
        put_aside(&path, aside, rewritten.kept > 0)?;
        if rewritten.kept > 0 {
            fs::rename(&fresh, &path).map_err(LogError::io("renaming", &fresh))?;
        }
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(LogError::io("syncing", dir))?;
        Ok(rewritten)
    });
    // Where it was renamed there is none.
    let _ = fs::remove_file(&fresh);
    done
}

/// Puts a file or folder that stands in a segment's place into `aside`.
///
/// # Errors
/// When it cannot be moved.
pub fn set_segment_aside(dir: &Path, segment: u64, aside: &Path) -> Result<(), LogError> {
    put_aside(&segment_path(dir, segment), aside, false)
}

fn write(
    dir: &Path,
    segment: u64,
    fresh: &Path,
    keep: &mut dyn FnMut(&Record) -> bool,
) -> Result<Rewritten, LogError> {
    let mut rewritten = Rewritten::default();
    let mut out = BufWriter::new(File::create(fresh).map_err(LogError::io("creating", fresh))?);
    let mut failed = out.write_all(&record::segment_head(segment)).err();
    survey_segment(dir, segment, &mut |found| match found {
        Found::Damaged { bytes, .. } => rewritten.damaged_bytes += bytes,
        Found::Record(record) if keep(&record) => {
            rewritten.kept += 1;
            let mut bytes = Vec::new();
            record::encode(record.kind, &record.payload, &mut bytes);
            failed = failed.take().or_else(|| out.write_all(&bytes).err());
        }
        Found::Record(_) => rewritten.left_out += 1,
    })?;
    let done = match failed {
        Some(error) => Err(error),
        None => out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all()),
    };
    done.map_err(LogError::io("writing", fresh))?;
    Ok(rewritten)
}

/// Moves a file to a free name in `aside`, or gives it a second name there.
fn put_aside(path: &Path, aside: &Path, stays: bool) -> Result<(), LogError> {
    let failed = LogError::io("setting aside", path);
    let done = fs::create_dir_all(aside).and_then(|()| {
        let to = free_name(path, aside);
        if stays { fs::hard_link(path, &to) } else { fs::rename(path, &to) }?;
        File::open(aside)?.sync_all()
    });
    done.map_err(failed)
}

/// A name in `aside` that no earlier repair has used.
fn free_name(path: &Path, aside: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = (0u64..).map(|number| aside.join(format!("{name}.{number}")));
    names.into_iter().find(|to| !to.exists()).unwrap_or_else(|| aside.join(name))
}
