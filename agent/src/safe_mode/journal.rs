//! The queries that run now: `queries.active` in the store's folder, a slot each, for the start after an end that
//! nobody saw coming. It is written and never synced: it must outlive the process, not the machine.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use promql::{ActiveQueries, Expr};

use super::starts::{parse_query, put_query};

const NAME: &str = "queries.active";
/// Queries that are noted at a time; those beyond are not.
const SLOTS: usize = 64;
/// Bytes of a slot: of longer queries the beginning is shown, their hash is of the whole.
const SLOT: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Slots>);

#[derive(Debug)]
struct Slots {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// What a query is known by from one start to the next.
pub(super) fn hash(text: &str) -> u64 {
    model::Labels::from_pairs([("query", text)]).stable_hash()
}

/// The queries that ran when the process ended, each with its hash.
pub(super) fn read(dir: &Path) -> Vec<(u64, String)> {
    let bytes = std::fs::read(dir.join(NAME)).unwrap_or_default();
    let slots = bytes.chunks(SLOT).filter_map(|slot| slot.split(|&byte| byte == b'\n').next());
    slots.filter_map(|line| parse_query(&String::from_utf8_lossy(line))).collect()
}

/// The same, which the log names.
pub(super) fn name_unfinished(dir: &Path) -> Vec<(u64, String)> {
    let ran = read(dir);
    if !ran.is_empty() {
        let queries: Vec<&String> = ran.iter().map(|(_, text)| text).collect();
        tracing::warn!(?queries, "these queries ran when the process ended, unfinished");
    }
    ran
}

/// An empty journal, where one can be written.
pub(super) fn begin(dir: &Path) -> Option<Journal> {
    let made = Journal::create(dir);
    made.inspect_err(|error| tracing::warn!(%error, "running queries cannot be noted")).ok()
}

impl Journal {
    /// An empty one, in the place of what was there.
    pub(super) fn create(dir: &Path) -> io::Result<Self> {
        let file = File::create(dir.join(NAME))?;
        file.write_all_at(&[0; SLOT * SLOTS], 0)?;
        Ok(Self(Arc::new(Slots { file, free: Mutex::new((0..SLOTS).rev().collect()) })))
    }

    /// Notes a query until what it gives is dropped.
    fn note(&self, hash: u64, text: &str) -> Noted {
        let slot = self.0.free.lock().pop();
        if let Some(slot) = slot {
            let mut line = put_query(hash, text).into_bytes();
            line.truncate(SLOT - 1);
            line.push(b'\n');
            // A disk that is full costs the note, not the query.
            let _ = self.0.file.write_all_at(&line, (slot * SLOT) as u64);
        }
        Noted { journal: Arc::clone(&self.0), slot }
    }
}

impl Journal {
    /// The process ends in order: what still runs is cancelled and no suspect.
    pub(super) fn forget(&self) {
        let _ = self.0.file.set_len(0);
    }
}

impl ActiveQueries for Journal {
    fn begin(&self, expr: &Expr) -> Box<dyn Send> {
        let text = expr.to_string();
        Box::new(self.note(hash(&text), &text))
    }
}

/// A query that is noted.
struct Noted {
    journal: Arc<Slots>,
    slot: Option<usize>,
}

impl Drop for Noted {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            let _ = self.journal.file.write_all_at(b"\n", (slot * SLOT) as u64);
            self.journal.free.lock().push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_notes_its_queries_by_their_printed_form() {
        let dir = tempfile::tempdir().expect("dir");
        let journal = Journal::create(dir.path()).expect("made");
        let running = journal.begin(&promql::parse("sum( up )").expect("a query"));
        assert_eq!(read(dir.path()), [(hash("sum(up)"), "sum(up)".to_owned())]);
        drop(running);
        assert!(read(dir.path()).is_empty());
        let _cancelled = journal.begin(&promql::parse("up").expect("a query"));
        journal.forget();
        assert!(read(dir.path()).is_empty());
    }

    #[test]
    fn what_runs_is_there_and_what_is_done_is_not() {
        let dir = tempfile::tempdir().expect("dir");
        assert!(read(dir.path()).is_empty());
        let journal = Journal::create(dir.path()).expect("made");
        let long = "x".repeat(3 * SLOT);
        let (first, second) = (journal.note(1, "up"), journal.note(2, &long));
        let texts: Vec<_> = read(dir.path()).into_iter().map(|(hash, text)| (hash, text.len())).collect();
        assert_eq!(texts, [(1, 2), (2, SLOT - 1 - 17)]);
        drop(second);
        assert_eq!(read(dir.path()), [(1, "up".to_owned())]);
        let many: Vec<_> = (0..2 * SLOTS as u64).map(|hash| journal.note(hash, "y")).collect();
        assert_eq!(read(dir.path()).len(), SLOTS);
        drop((first, many));
        assert!(read(dir.path()).is_empty());
        assert_eq!(journal.0.free.lock().len(), SLOTS);
        std::fs::write(dir.path().join(NAME), [0xff; 3 * SLOT]).expect("writes");
        assert!(read(dir.path()).is_empty());
    }
}
