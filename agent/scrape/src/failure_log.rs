//! `scrape_failure_log_file`: a JSON line for each scrape that failed. Jobs with the same file share it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde_json::json;

/// The files that are written to now.
#[derive(Debug, Default)]
pub(crate) struct FailureLogs(Mutex<BTreeMap<PathBuf, File>>);

/// Files that were opened anew.
pub(crate) type Opened = BTreeMap<PathBuf, File>;

impl FailureLogs {
    /// Opens files to add to.
    ///
    /// # Errors
    /// The first that cannot be opened, and why.
    pub(crate) fn open<'a>(paths: impl Iterator<Item = &'a Path>) -> Result<Opened, (PathBuf, io::Error)> {
        let mut opened = Opened::new();
        for path in paths {
            if !opened.contains_key(path) {
                let file = OpenOptions::new().append(true).create(true).open(path);
                opened.insert(path.to_owned(), file.map_err(|error| (path.to_owned(), error))?);
            }
        }
        Ok(opened)
    }

    /// Writes to these from now on. Files that were moved away are let go.
    pub(crate) fn replace(&self, opened: Opened) {
        *self.0.lock() = opened;
    }

    /// Notes a scrape that failed.
    pub(crate) fn note(&self, path: &Path, now_ms: i64, job: &str, url: &str, error: &str) {
        let mut files = self.0.lock();
        let Some(file) = files.get_mut(path) else { return };
        let time = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::MIN);
        let line = json!({
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "level": "ERROR",
            "msg": error,
            "job_name": job,
            "target": url,
        });
        // A disk that is full costs the line, not the next scrape.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_lines_and_a_file_that_was_moved_is_opened_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, moved) = (dir.path().join("failures"), dir.path().join("failures.1"));
        let logs = FailureLogs::default();
        let open = || FailureLogs::open([path.as_path(), path.as_path()].into_iter()).expect("opens");
        let note = |error: &str| logs.note(&path, 1_700_000_000_500, "web", "http://h:1/metrics", error);
        note("before there is a file");
        logs.replace(open());
        note("connection \"refused\"");
        std::fs::rename(&path, &moved).expect("moves");
        logs.replace(open());
        note("timeout");
        logs.replace(Opened::new());
        note("after there was a file");
        let line = |error: &str| {
            json!({
                "time": "2023-11-14T22:13:20.500Z", "level": "ERROR", "msg": error, "job_name": "web",
                "target": "http://h:1/metrics",
            })
        };
        for (path, wanted) in [(&moved, line("connection \"refused\"")), (&path, line("timeout"))] {
            let text = std::fs::read_to_string(path).expect("reads");
            let found: serde_json::Value = serde_json::from_str(&text).expect("one line of JSON");
            assert_eq!(found, wanted);
        }
        let (missing, _) =
            FailureLogs::open([dir.path().join("none/x").as_path()].into_iter()).expect_err("no folder");
        assert!(missing.ends_with("none/x"));
    }
}
