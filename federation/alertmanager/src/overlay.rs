//! What a node does while it is cut off: a copy of the state that only it changes, and a file of what it
//! changed.
//!
//! The file is a sequence of records: length (u32, little-endian), CRC32C of the body, body. The first body
//! is the epoch, each later one the rows that a command changed. A torn or damaged record ends the file.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::command::{
    self, Applied, Command, LeaderId, MergedEntry, MergedSilence, NotifyKey, Overlay, Rejection, Reply,
};
use crate::journal::{Journal, JournalError};
use crate::metrics::Metrics;
use crate::shared::SharedState;
use crate::state::{Changes, LogEntry, State};

/// Rows of one part of a merge.
const PART_ROWS: usize = 500;
/// How long it is remembered that somebody may have been told.
const KEEP_UNKNOWN_MS: i64 = 24 * 3_600_000;
/// A longer record is damage.
const MAX_RECORD: usize = 64 << 20;

/// A term that no election reaches: what a cut-off node announces fences what it took over.
const TERM: u64 = u64::MAX;

/// The state of a node that is cut off, as a journal that needs nobody.
pub(crate) struct OverlayJournal {
    pub(crate) state: SharedState,
    pub(crate) epoch: u64,
    node: u64,
    path: PathBuf,
    inner: Mutex<Inner>,
    metrics: Metrics,
}

struct Inner {
    file: Option<File>,
    changed: Changes,
    bases: Bases,
}

/// What rows were at the fork.
#[derive(Default)]
struct Bases {
    /// Versions of changed silences.
    silences: BTreeMap<String, Option<u64>>,
    /// Sequences of all log entries.
    entries: BTreeMap<NotifyKey, u64>,
}

impl OverlayJournal {
    /// Forks `state`. An overlay that an earlier process left is taken over.
    pub(crate) fn open(
        state: &SharedState,
        dir: &Path,
        node: u64,
        now_ms: i64,
        metrics: Metrics,
    ) -> Arc<Self> {
        let path = dir.join("overlay");
        let mut fork = state.read(State::clone);
        let merged = fork.overlays.get(&node).map_or(0, |(epoch, _)| *epoch);
        let found = read(&path).ok().filter(|(epoch, _)| *epoch > merged);
        let fresh = u64::try_from(now_ms).unwrap_or(0).max(merged + 1);
        let mut inner = Inner { file: None, changed: Changes::default(), bases: Bases::default() };
        inner.bases.entries = fork.entries.iter().map(|(key, entry)| (key.clone(), entry.seq)).collect();
        let epoch = found.as_ref().map_or(fresh, |(epoch, _)| *epoch);
        let rows = found.map(|(_, rows)| rows).unwrap_or_default();
        for row in rows {
            adopt(&mut fork, row, &mut inner);
        }
        match begin(&path, epoch, &fork, &inner) {
            Ok(file) => inner.file = Some(file),
            Err(error) => {
                metrics.overlay_failures.inc();
                tracing::error!(%error, path = %path.display(), "the overlay is in memory only");
            }
        }
        fork.changes = Changes::default();
        Arc::new(Self {
            state: SharedState::from_state(fork),
            epoch,
            node,
            path,
            inner: Mutex::new(inner),
            metrics,
        })
    }

    /// Whether an earlier process left one.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join("overlay").exists()
    }

    pub(crate) fn leader(&self) -> LeaderId {
        LeaderId { term: TERM, node: self.node }
    }

    /// What this node did, in parts for [`Command::MergeOverlay`].
    pub(crate) fn parts(&self) -> Vec<Overlay> {
        let inner = self.inner.lock();
        let rows = self.state.read(|state| rows(state, &inner.changed, &inner.bases));
        let mut parts = Vec::new();
        let mut add = |part: Overlay| {
            let number = u32::try_from(parts.len() + 1).unwrap_or(u32::MAX);
            parts.push(Overlay { node: self.node, epoch: self.epoch, part: number, ..part });
        };
        // What was told comes before the alerts: a leader that meets an alert first would tell it again.
        for entries in rows.entries.chunks(PART_ROWS) {
            add(Overlay { entries: entries.to_vec(), ..Overlay::default() });
        }
        for silences in rows.silences.chunks(PART_ROWS) {
            add(Overlay { silences: silences.to_vec(), ..Overlay::default() });
        }
        for anchors in rows.anchors.chunks(PART_ROWS) {
            add(Overlay { anchors: anchors.to_vec(), ..Overlay::default() });
        }
        for alerts in rows.alerts.chunks(PART_ROWS) {
            add(Overlay { alerts: alerts.to_vec(), ..Overlay::default() });
        }
        parts
    }

    /// Removes the file: everything in it is merged.
    pub(crate) fn discard(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, path = %self.path.display(), "a merged overlay stays; its epoch is known");
        }
    }

    fn apply(&self, bytes: &[u8]) -> Reply {
        let Some(command) = Command::decode(bytes) else { return Reply::Rejected(Rejection::Malformed) };
        let mut inner = self.inner.lock();
        let index = self.state.read(State::index) + 1;
        let before: BTreeMap<_, _> = named_silence(&command)
            .into_iter()
            .map(|id| (id.clone(), self.state.read(|state| state.silence(&id).map(|it| it.version))))
            .collect();
        let (reply, changes) = self.state.apply_changes(Applied { index, leader: self.leader() }, command);
        for id in &changes.silences {
            inner.bases.silences.entry(id.clone()).or_insert_with(|| before.get(id).copied().flatten());
        }
        let row = self.state.read(|state| rows(state, &changes, &inner.bases));
        inner.changed.add(&changes);
        if row != Overlay::default()
            && let Some(file) = &mut inner.file
            && let Err(error) = append(file, &command::encode(&row))
        {
            self.metrics.overlay_failures.inc();
            tracing::error!(%error, path = %self.path.display(), "the overlay could not be written");
        }
        reply
    }
}

impl Journal for OverlayJournal {
    fn propose(&self, command: Vec<u8>) -> BoxFuture<'_, Result<Vec<u8>, JournalError>> {
        Box::pin(std::future::ready(Ok(self.apply(&command).encode())))
    }

    fn read_barrier(&self) -> BoxFuture<'_, Result<(), JournalError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Silences whose version before a command must be remembered.
fn named_silence(command: &Command) -> Vec<String> {
    match command {
        Command::SilenceSet { silence, .. } if !silence.id.is_empty() => vec![silence.id.clone()],
        Command::SilenceExpire { id, .. } => vec![id.clone()],
        Command::Batch(commands) => commands.iter().flat_map(named_silence).collect(),
        _ => Vec::new(),
    }
}

/// The rows behind `changes`; what was removed again is left out.
fn rows(state: &State, changes: &Changes, bases: &Bases) -> Overlay {
    Overlay {
        alerts: changes
            .alerts
            .iter()
            .filter_map(|it| state.alert(*it))
            .map(|it| it.as_ref().clone())
            .collect(),
        silences: changes
            .silences
            .iter()
            .filter_map(|id| state.silence(id))
            .map(|silence| MergedSilence {
                silence: silence.as_ref().clone(),
                base: bases.silences.get(&silence.id).copied().flatten(),
            })
            .collect(),
        entries: changes.entries.iter().filter_map(|key| merged_entry(state, bases, key)).collect(),
        anchors: changes.places.iter().filter_map(|key| state.anchor(key)).collect(),
        ..Overlay::default()
    }
}

/// What is under way counts as perhaps told: nobody takes its outcome over from here.
fn merged_entry(state: &State, bases: &Bases, key: &NotifyKey) -> Option<MergedEntry> {
    let base = bases.entries.get(key).copied().unwrap_or(0);
    let inflight = state.inflight(key);
    let mut entry = state.entry(key).cloned().or_else(|| inflight.map(|_| LogEntry::default()))?;
    if let Some(intent) = inflight {
        entry.perhaps_told(&intent.content);
        entry.seq = entry.seq.max(intent.seq);
        entry.expires_at = entry.expires_at.max(intent.valid_until.saturating_add(KEEP_UNKNOWN_MS));
    }
    Some(MergedEntry { key: key.clone(), base, entry })
}

/// Puts rows of an earlier process into the fork, as they were.
fn adopt(fork: &mut State, rows: Overlay, inner: &mut Inner) {
    for alert in rows.alerts {
        let newer = fork.alert(alert.fingerprint()).is_none_or(|known| known.updated_at <= alert.updated_at);
        if newer {
            fork.upsert(alert);
        }
    }
    for merged in rows.silences {
        inner.bases.silences.entry(merged.silence.id.clone()).or_insert(merged.base);
        fork.put_silence(merged.silence);
    }
    for merged in rows.entries {
        inner.bases.entries.insert(merged.key.clone(), merged.base);
        fork.changes.entries.insert(merged.key.clone());
        fork.inflight.remove(&merged.key);
        fork.entries.insert(merged.key, merged.entry);
    }
    rows.anchors.into_iter().for_each(|anchor| fork.place(anchor));
    inner.changed.add(&std::mem::take(&mut fork.changes));
}

/// Starts the file: the epoch, and in one record what was taken over.
fn begin(path: &Path, epoch: u64, fork: &State, inner: &Inner) -> io::Result<File> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(&fresh)?;
    append(&mut file, &command::encode(&epoch))?;
    let row = rows(fork, &inner.changed, &inner.bases);
    if row != Overlay::default() {
        append(&mut file, &command::encode(&row))?;
    }
    std::fs::rename(&fresh, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

fn append(file: &mut File, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| io::Error::other("a record of over 4 GiB"))?;
    let mut record = Vec::with_capacity(body.len() + 8);
    record.extend(length.to_le_bytes());
    record.extend(crc32c::crc32c(body).to_le_bytes());
    record.extend(body);
    file.write_all(&record)?;
    file.sync_data()
}

/// The epoch and the rows of an overlay file, up to the first damage.
fn read(path: &Path) -> io::Result<(u64, Vec<Overlay>)> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let mut rest = bytes.as_slice();
    let epoch = record(&mut rest)
        .and_then(command::decode)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an overlay without epoch"))?;
    let mut rows = Vec::new();
    while let Some(row) = record(&mut rest).and_then(command::decode) {
        rows.push(row);
    }
    Ok((epoch, rows))
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (sum, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|it| *it <= MAX_RECORD)?;
    let body = after.get(..length)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return None;
    }
    *rest = &after[length..];
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::silence::example;

    fn metrics() -> Metrics {
        Metrics::register(&telemetry::Registry::new())
    }

    fn set(id: &str, new_id: &str, now_ms: i64) -> Vec<u8> {
        let silence = example(id, &[("a", "b")], now_ms, now_ms + 1_000);
        Command::SilenceSet { silence, new_id: new_id.to_owned(), now_ms }.encode()
    }

    #[test]
    fn an_overlay_survives_a_restart_and_damage_and_merges_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = SharedState::new();
        let at = |index| Applied { index, leader: LeaderId { term: 1, node: 1 } };
        let _ = state.apply(at(1), &set("", "before", 10));
        let overlay = OverlayJournal::open(&state, dir.path(), 7, 100, metrics());
        overlay.apply(&set("", "during", 20));
        overlay.apply(&Command::SilenceExpire { id: "before".to_owned(), now_ms: 30 }.encode());
        let epoch = overlay.epoch;
        drop(overlay);
        let path = dir.path().join("overlay");
        let mut bytes = std::fs::read(&path).expect("the file");
        bytes.extend([9, 0, 0, 0, 1, 2, 3]);
        std::fs::write(&path, bytes).expect("damage at its end");

        let again = OverlayJournal::open(&state, dir.path(), 7, 200, metrics());
        assert_eq!(again.epoch, epoch);
        assert_eq!(again.state.read(|it| it.silences().len()), 2);
        let parts = again.parts();
        for (index, part) in (2..).zip(&parts) {
            let merge = Command::MergeOverlay(Box::new(part.clone()));
            assert_eq!(state.apply_command(at(index), merge.clone()), Reply::Done);
            assert_eq!(state.apply_command(at(index), merge), Reply::Rejected(Rejection::Merged));
        }
        let ended = state.read(|it| it.silence("before").map(|silence| silence.ends_at));
        assert_eq!(ended, Some(29));
        assert!(state.read(|it| it.silence("during").is_some()));
        again.discard();
        assert!(!OverlayJournal::exists(dir.path()));
    }

    #[test]
    fn what_the_quorum_committed_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = SharedState::new();
        let at = |index| Applied { index, leader: LeaderId { term: 1, node: 1 } };
        let _ = state.apply(at(1), &set("", "one", 10));
        let overlay = OverlayJournal::open(&state, dir.path(), 7, 100, metrics());
        overlay.apply(&Command::SilenceExpire { id: "one".to_owned(), now_ms: 30 }.encode());
        let _ = state.apply(at(5), &set("one", "unused", 10));
        for part in overlay.parts() {
            state.apply_command(at(6), Command::MergeOverlay(Box::new(part)));
        }
        assert_eq!(state.read(|it| it.silence("one").map(|silence| silence.ends_at)), Some(1_010));
    }
}
