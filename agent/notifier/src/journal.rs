//! A queue's journal: one line an event, each with its own checksum, so that damage costs one line.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::alert::PostedAlert;

/// A journal longer than this, and than twice what it must hold, is written anew.
const BYTES_MAX: u64 = 1 << 20;

/// What happened to a queue.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// An alert was queued, or replaced by its newer state.
    Put(PostedAlert),
    /// The alert of these labels was delivered or given up.
    Done(PostedAlert),
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    /// None while the disk does not let it be opened.
    file: Option<File>,
    /// Its last line may be cut off.
    torn: bool,
    bytes: u64,
    /// Size right after it was last written anew.
    base: u64,
}

impl Journal {
    /// Opens the journal of `url` in `dir` and gives the events that it holds; damaged lines are left out.
    pub(crate) fn open(dir: &Path, url: &str) -> Result<(Self, Vec<Event>), (PathBuf, io::Error)> {
        let path = dir.join(format!("notifier-{:08x}.journal", crc32c::crc32c(url.as_bytes())));
        let failed = |error| (path.clone(), error);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Vec::new()
            }
            Err(error) => return Err(failed(error)),
        };
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events: Vec<Option<Event>> = lines.map(parse).collect();
        let damaged = events.iter().filter(|event| event.is_none()).count();
        if damaged > 0 {
            tracing::warn!(path = %path.display(), damaged, "lines of a notification journal are damaged and left out");
        }
        let torn = text.last().is_some_and(|last| *last != b'\n');
        let mut journal = Self { path, file: None, torn, bytes: text.len() as u64, base: 0 };
        // A disk that is full or read-only is no reason not to start.
        if let Err(error) = journal.file() {
            tracing::warn!(path = %journal.path.display(), %error, "a notification journal cannot be written yet");
        }
        Ok((journal, events.into_iter().flatten().collect()))
    }

    /// The open file.
    fn file(&mut self) -> io::Result<&mut File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => {
                self.path.parent().map_or(Ok(()), fs::create_dir_all)?;
                File::options().create(true).append(true).open(&self.path)?
            }
        };
        Ok(self.file.insert(file))
    }

    /// Appends events with one write: they survive this process.
    pub(crate) fn append<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) -> io::Result<()> {
        // A line that a crash or a full disk cut in two ends here, so that the next one stands alone.
        let mut lines = if self.torn { vec![b'\n'] } else { Vec::new() };
        lines.extend(events.into_iter().flat_map(|event| line(event).into_bytes()));
        let written = self.file()?.write_all(&lines);
        self.torn = written.is_err();
        self.bytes += lines.len() as u64;
        written
    }

    /// Whether most of the journal is history.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > BYTES_MAX && self.bytes > 2 * self.base
    }

    /// Replaces the journal by one that holds only these events.
    pub(crate) fn rewrite<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) -> io::Result<()> {
        let lines: Vec<u8> = events.into_iter().flat_map(|event| line(event).into_bytes()).collect();
        let temporary = self.path.with_extension("tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&lines)?;
        file.sync_data()?;
        fs::rename(&temporary, &self.path)?;
        (self.file, self.torn) = (None, false);
        self.file()?;
        self.bytes = lines.len() as u64;
        self.base = self.bytes;
        Ok(())
    }

    /// Removes the file: its alertmanager is gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn line(event: &Event) -> String {
    // Serialising strings and times into memory does not fail.
    let json = serde_json::to_string(event).unwrap_or_default();
    format!("{:08x} {json}\n", crc32c::crc32c(json.as_bytes()))
}

fn parse(line: &[u8]) -> Option<Event> {
    let text = std::str::from_utf8(line).ok()?;
    let (sum, json) = text.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (crc32c::crc32c(json.as_bytes()) == sum).then(|| serde_json::from_str(json).ok()).flatten()
}
