//! Streams that another machine continued: what of them was filed again under a new epoch.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use storage::{Epoch, FrameError, FrameSource, StreamId};

use crate::cursor::write_atomically;

/// For each forked stream the last frame that both machines have; above it nothing is shipped under
/// the old name. Kept on disk: filing the rows again after each restart would repeat them for ever.
#[derive(Debug)]
pub(crate) struct Forks {
    path: PathBuf,
    common: Mutex<BTreeMap<StreamId, u64>>,
}

impl Forks {
    pub(crate) fn load(dir: &Path) -> Self {
        let path = dir.join("uplink.forks");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let common = text.lines().filter_map(parse_line).collect();
        Self { path, common: Mutex::new(common) }
    }

    /// The last frame of `stream` that may be shipped under its own name, where it was forked.
    pub(crate) fn last_common(&self, stream: &StreamId) -> Option<u64> {
        self.common.lock().get(stream).copied()
    }

    /// A receiver met a clone: goes on in a new epoch and files again what only we have.
    pub(crate) fn fork(
        &self,
        source: &dyn FrameSource,
        stream: &StreamId,
        common: u64,
    ) -> Result<(), FrameError> {
        let mut forks = self.common.lock();
        if forks.get(stream).is_some_and(|&known| known <= common) {
            return Ok(());
        }
        let own = source.own_stream();
        if own.id == *stream {
            source.renew_epoch(own.external)?;
        }
        source.refile(stream, common)?;
        forks.insert(stream.clone(), common);
        let text = forks.iter().fold(String::new(), |mut out, (stream, common)| {
            let _ = writeln!(out, "{} {common} {}", stream.epoch, stream.agent);
            out
        });
        write_atomically(&self.path, &text)
            .map_err(|error| FrameError::Unavailable(format!("{}: {error}", self.path.display())))
    }
}

fn parse_line(line: &str) -> Option<(StreamId, u64)> {
    let mut parts = line.splitn(3, ' ');
    let epoch = Epoch(u128::from_str_radix(parts.next()?, 16).ok()?);
    let common = parts.next()?.parse().ok()?;
    Some((StreamId { agent: parts.next()?.into(), epoch }, common))
}
