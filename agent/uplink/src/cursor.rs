//! What a replica has acknowledged, kept across restarts as a hint: before it answers, the lag can be told.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use storage::{Epoch, IntervalSet, StreamId};

/// Acknowledged frames of each stream, as last written to the cursor's file.
#[derive(Debug)]
pub(crate) struct Cursor {
    path: PathBuf,
    pub(crate) durable: BTreeMap<StreamId, IntervalSet>,
}

impl Cursor {
    /// Reads the cursor of a replica; a missing or damaged file is an empty cursor, as it is only a hint.
    pub(crate) fn load(dir: &Path, endpoint: &str) -> Self {
        let name: String =
            endpoint.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let path = dir.join(format!("uplink-{name}.cursor"));
        let durable = fs::read_to_string(&path).map(|text| parse(&text)).unwrap_or_default();
        Self { path, durable }
    }

    /// Writes the cursor: a temporary file, synced, then renamed.
    pub(crate) fn save(&self) -> std::io::Result<()> {
        write_atomically(&self.path, &print(&self.durable))
    }
}

/// One line a stream: `epoch agent first-last,first-last`.
fn print(durable: &BTreeMap<StreamId, IntervalSet>) -> String {
    let mut out = String::new();
    for (stream, set) in durable {
        let _ = writeln!(out, "{} {} {set}", stream.epoch, stream.agent);
    }
    out
}

fn parse(text: &str) -> BTreeMap<StreamId, IntervalSet> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(StreamId, IntervalSet)> {
    let (epoch, rest) = line.split_once(' ')?;
    let (agent, ranges) = rest.rsplit_once(' ')?;
    let epoch = Epoch(u128::from_str_radix(epoch, 16).ok()?);
    let mut set = IntervalSet::new();
    for range in ranges.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once("..")?;
        set.insert_range(first.parse().ok()?..=last.parse().ok()?);
    }
    Some((StreamId { agent: agent.into(), epoch }, set))
}

/// Replaces a small file so that a crash leaves the old one or the new one.
pub(crate) fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    let temporary = path.with_extension("tmp");
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    fs::rename(&temporary, path)?;
    fs::File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_damage_is_an_empty_one() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut cursor = Cursor::load(dir.path(), "127.0.0.1:9094");
        let stream = StreamId { agent: "a host".into(), epoch: Epoch(77) };
        cursor.durable.insert(stream, IntervalSet::from_iter([1..=4, 9..=9]));
        cursor.save().expect("saved");
        assert_eq!(Cursor::load(dir.path(), "127.0.0.1:9094").durable, cursor.durable);
        fs::write(&cursor.path, b"\xffgarbage").expect("damaged");
        assert!(Cursor::load(dir.path(), "127.0.0.1:9094").durable.is_empty());
    }
}
