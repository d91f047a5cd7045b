//! Reading segments ahead of whoever takes their records: reading, checking, decompressing, and whatever can be made
//! of a record by itself, has a thread of its own, so that a start uses two cores.

use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, ScopedJoinHandle, scope};

use crate::error::LogError;
use crate::record::Record;
use crate::scan::{Damage, scan_segment};

/// Bytes of payloads that are handed over together.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that may wait: now the one thread has more to do, now the other.
const BATCHES_MAX: usize = 16;

/// What reading a segment came to.
pub(crate) struct Scanned {
    pub(crate) records: u64,
    pub(crate) damage: Result<Damage, LogError>,
}

/// Gives what `prepare`, on the thread that reads, makes of every intact record of some segments, in order; and what
/// each segment came to.
pub(crate) fn scan_segments<T: Send>(
    dir: &Path,
    indexes: &[u64],
    prepare: &mut (dyn FnMut(Record) -> T + Send),
    visit: &mut dyn FnMut(T),
) -> Vec<(u64, Scanned)> {
    let ahead = scope(|scope| {
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        let prepare = &mut *prepare;
        let read = move || indexes.iter().map(|&index| (index, read(dir, index, prepare, &sender))).collect();
        match Builder::new().name("log-reader".to_owned()).spawn_scoped(scope, read) {
            Ok(reading) => Some(take(reading, &receiver, visit)),
            Err(error) => {
                tracing::warn!(%error, "the log is read without a thread of its own");
                None
            }
        }
    });
    ahead.unwrap_or_else(|| {
        let mut visit = |record| visit(prepare(record));
        indexes.iter().map(|&index| (index, scan(dir, index, &mut visit))).collect()
    })
}

fn take<T>(
    reading: ScopedJoinHandle<'_, Vec<(u64, Scanned)>>,
    receiver: &Receiver<Vec<T>>,
    visit: &mut dyn FnMut(T),
) -> Vec<(u64, Scanned)> {
    for batch in receiver {
        batch.into_iter().for_each(&mut *visit);
    }
    reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn read<T>(
    dir: &Path,
    index: u64,
    prepare: &mut dyn FnMut(Record) -> T,
    sender: &SyncSender<Vec<T>>,
) -> Scanned {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    let scanned = scan(dir, index, &mut |record| {
        bytes += record.payload.len();
        batch.push(prepare(record));
        if bytes >= BATCH_BYTES {
            bytes = 0;
            // Nobody takes them only where the other thread has ended in a panic.
            let _ = sender.send(std::mem::take(&mut batch));
        }
    });
    let _ = sender.send(batch);
    scanned
}

fn scan(dir: &Path, index: u64, visit: &mut dyn FnMut(Record)) -> Scanned {
    let mut records = 0;
    let damage = scan_segment(dir, index, &mut |record| {
        records += 1;
        visit(record);
    });
    Scanned { records, damage }
}
