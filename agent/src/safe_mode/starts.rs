//! The starts that no end in order followed, each with the queries that ran when it ended: `starts` in the store's
//! folder, one line each. A line that cannot be read is left out.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Starts that are kept, at most.
const STARTS_MAX: usize = 100;
const NAME: &str = "starts";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Starts(Vec<Start>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Start {
    at_ms: i64,
    /// Hash and text.
    queries: Vec<(u64, String)>,
}

impl Starts {
    pub(super) fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join(NAME)).unwrap_or_default();
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("start", at)) => {
                    let Ok(at_ms) = at.parse() else { continue };
                    found.0.push(Start { at_ms, queries: Vec::new() });
                }
                Some(("query", query)) => {
                    if let (Some(start), Some(query)) = (found.0.last_mut(), parse_query(query)) {
                        start.queries.push(query);
                    }
                }
                _ => {}
            }
        }
        found
    }

    /// What ran when the last one ended.
    pub(super) fn ended_with(&mut self, queries: Vec<(u64, String)>) {
        if let Some(last) = self.0.last_mut() {
            last.queries.extend(queries);
        }
    }

    /// Forgets those that are older, or so far ahead that the clock was wrong.
    pub(super) fn keep_recent(&mut self, now_ms: i64, window_ms: i64) {
        self.0.retain(|start| now_ms.saturating_sub(start.at_ms).saturating_abs() <= window_ms);
        let surplus = self.0.len().saturating_sub(STARTS_MAX);
        self.0.drain(..surplus);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Queries that ran when most of them ended, by hash: what is asked all the time runs now and then when a
    /// process is killed, and is not to blame.
    pub(super) fn suspects(&self) -> BTreeMap<u64, &str> {
        let mut ends: BTreeMap<u64, (usize, &str)> = BTreeMap::new();
        for start in &self.0 {
            let once: BTreeMap<u64, &str> =
                start.queries.iter().map(|(hash, text)| (*hash, text.as_str())).collect();
            for (hash, text) in once {
                ends.entry(hash).or_insert((0, text)).0 += 1;
            }
        }
        ends.retain(|_, (count, _)| *count * 2 > self.0.len());
        ends.into_iter().map(|(hash, (_, text))| (hash, text)).collect()
    }

    pub(super) fn begin(&mut self, at_ms: i64) {
        self.0.push(Start { at_ms, queries: Vec::new() });
    }

    fn text(&self) -> String {
        let mut out = String::new();
        for start in &self.0 {
            out += &format!("start {}\n", start.at_ms);
            for (hash, text) in &start.queries {
                out += &format!("query {}\n", put_query(*hash, text));
            }
        }
        out
    }

    /// Puts them in the place of what was there, synced.
    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        let (path, fresh) = (dir.join(NAME), dir.join("starts.new"));
        let mut file = File::create(&fresh)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(dir)?.sync_all()
    }
}

/// One line: the hash, then the text.
pub(super) fn put_query(hash: u64, text: &str) -> String {
    format!("{hash:016x} {}", text.replace(['\n', '\r'], " "))
}

pub(super) fn parse_query(line: &str) -> Option<(u64, String)> {
    let (hash, text) = line.split_once(' ')?;
    Some((u64::from_str_radix(hash, 16).ok()?, text.to_owned()))
}

/// Forgets all starts.
pub(super) fn clear(dir: &Path) {
    if let Err(error) = fs::remove_file(dir.join(NAME))
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an end in order cannot be noted: it will count as an unclean one");
    }
}

/// Whether no other process has the folder; made where missing.
pub(super) fn is_free(dir: &Path) -> bool {
    let lock = fs::create_dir_all(dir)
        .and_then(|()| File::options().create(true).truncate(false).write(true).open(dir.join("LOCK")));
    lock.is_ok_and(|lock| lock.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_come_back_and_what_is_no_start_is_left_out() {
        let mut starts = Starts::default();
        starts.ended_with(vec![(1, "of nobody".to_owned())]);
        starts.begin(5);
        starts.ended_with(vec![(7, "sum(\n a)".to_owned())]);
        starts.begin(9_000);
        let text = starts.text();
        assert_eq!(text, "start 5\nquery 0000000000000007 sum(  a)\nstart 9000\n");
        let read = Starts::parse(&format!("query 1 x\n{text}start x\n\0\nquery zz b\n"));
        assert_eq!((read.count(), read.suspects().len()), (2, 0), "it ran at one of two ends");
        let mut more = read.clone();
        more.ended_with(vec![(7, "sum(  a)".to_owned()), (8, "up".to_owned()), (8, "up".to_owned())]);
        assert_eq!(more.suspects(), BTreeMap::from([(7, "sum(  a)")]));
        let mut recent = read.clone();
        recent.keep_recent(10_000, 1_000);
        assert_eq!((recent.count(), recent.suspects().len()), (1, 0));
        recent.keep_recent(1_000, 1_000);
        assert_eq!(recent.count(), 0, "from a time to come");
    }

    #[test]
    fn a_folder_keeps_them() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(is_free(dir.path()));
        assert_eq!(Starts::read(dir.path()), Starts::default());
        let mut starts = Starts::default();
        starts.begin(5);
        starts.write(dir.path()).expect("writes");
        assert_eq!(Starts::read(dir.path()), starts);
        clear(dir.path());
        clear(dir.path());
        assert_eq!(Starts::read(dir.path()).count(), 0);
        let lock = File::open(dir.path().join("LOCK")).expect("there");
        lock.try_lock().expect("free");
        assert!(!is_free(dir.path()));
    }
}
