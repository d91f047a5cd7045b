//! The log against a list of what was appended: restarts, torn tails, flipped bits, failing disks.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;
use vedette_log::{
    Disk, Log, LogError, LogOptions, Record, Recovery, SegmentFile, SegmentReader, SystemDisk,
};

fn reopen(dir: &Path) -> (Log, Vec<Record>, Recovery) {
    open_with(LogOptions::new(dir))
}

fn open_with(options: LogOptions) -> (Log, Vec<Record>, Recovery) {
    let mut records = Vec::new();
    let (log, recovery) = Log::open(options, &mut |record| records.push(record)).expect("opens");
    (log, records, recovery)
}

fn contents(records: &[Record]) -> Vec<(u8, Vec<u8>)> {
    records.iter().map(|record| (record.kind, record.payload.clone())).collect()
}

#[test]
fn records_come_back_from_their_places() {
    let dir = tempfile::tempdir().expect("dir");
    let (mut log, ..) = reopen(dir.path());
    let mut written = Vec::new();
    for at in 0..50u8 {
        let payload = vec![at; usize::from(at) * 100];
        written.push((log.append(at, &payload).expect("appends"), at, payload));
        if at % 7 == 0 {
            log.write().expect("writes");
        }
        if at % 20 == 19 {
            log.roll().expect("rolls");
        }
    }
    log.sync().expect("syncs");
    assert_eq!((log.segments().len(), log.waiting_bytes()), (3, 0));
    for (at, kind, payload) in &written {
        let reader = SegmentReader::open(dir.path(), at.segment).expect("opens");
        assert_eq!(
            reader.read(at.offset).expect("reads"),
            Record { at: *at, kind: *kind, payload: payload.clone() }
        );
    }
    drop(log);
    let (mut log, records, recovery) = reopen(dir.path());
    assert_eq!(records.len(), written.len());
    assert_eq!((recovery.corrupt_regions, recovery.torn_bytes), (0, 0));
    let first = log.segments()[0].index;
    log.remove(first).expect("removes");
    assert!(SegmentReader::open(dir.path(), first).expect_err("gone").is_gone());
    assert_eq!(log.segments().len(), 2);
}

#[test]
fn a_payload_never_passes_for_a_record() {
    let dir = tempfile::tempdir().expect("dir");
    let other = tempfile::tempdir().expect("dir");
    let (mut log, ..) = reopen(other.path());
    log.append(9, b"forged").expect("appends");
    log.sync().expect("syncs");
    let forged = std::fs::read(other.path().join("00000001.seg")).expect("reads");
    let (mut log, ..) = reopen(dir.path());
    log.append(1, &forged).expect("appends");
    log.append(2, b"after").expect("appends");
    log.sync().expect("syncs");
    drop(log);
    let path = dir.path().join("00000001.seg");
    let mut bytes = std::fs::read(&path).expect("reads");
    // A flip in the payload that carries a whole record of its own.
    bytes[20 + 16] ^= 1;
    std::fs::write(&path, bytes).expect("writes");
    let (_, records, recovery) = reopen(dir.path());
    assert_eq!(contents(&records), [(2, b"after".to_vec())]);
    assert_eq!(recovery.corrupt_regions, 1);
}

#[test]
fn a_segment_that_is_gone_or_empty_is_missed() {
    for remove in [true, false] {
        let dir = tempfile::tempdir().expect("dir");
        let (mut log, ..) = reopen(dir.path());
        for at in 0..3u8 {
            log.append(at, b"record").expect("appends");
            log.roll().expect("rolls");
        }
        drop(log);
        let path = dir.path().join("00000002.seg");
        if remove {
            std::fs::remove_file(&path).expect("removes");
        } else {
            std::fs::File::create(&path).expect("empties");
        }
        // One that was begun and never used is none of these.
        std::fs::File::create(dir.path().join("00000004.seg")).expect("makes");
        let (_, records, recovery) = reopen(dir.path());
        assert_eq!((records.len(), recovery.missing), (2, 1), "removed: {remove}");
    }
}

/// A disk that refuses when told to.
#[derive(Clone, Default)]
struct Faulty {
    write: Arc<AtomicBool>,
    sync: Arc<AtomicBool>,
    create: Arc<AtomicBool>,
}

/// Remembers whether its sync failed.
struct FaultyFile(Box<dyn SegmentFile>, Faulty, AtomicBool);

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        if self.create.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(Box::new(FaultyFile(SystemDisk.create(path)?, self.clone(), AtomicBool::new(false))))
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        SystemDisk.sync_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }
}

impl SegmentFile for FaultyFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.1.write.load(Ordering::SeqCst) {
            // As a full disk does it: a part is there.
            self.0.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write_all_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        assert!(!self.2.load(Ordering::SeqCst), "a file whose sync failed is never synced again");
        // One failure each time it is armed, as the kernel reports a lost page once.
        if self.1.sync.swap(false, Ordering::SeqCst) {
            self.2.store(true, Ordering::SeqCst);
            return Err(io::Error::other("EIO"));
        }
        self.0.sync()
    }
}

#[test]
fn a_full_disk_keeps_records_in_memory_up_to_the_limit() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = Faulty::default();
    let mut options = LogOptions::new(dir.path());
    options.disk = Arc::new(disk.clone());
    options.waiting_bytes_max = 100;
    let (mut log, ..) = open_with(options);
    log.append(1, b"before").expect("appends");
    log.write().expect("writes");
    disk.write.store(true, Ordering::SeqCst);
    let mut taken = vec![(1, b"before".to_vec())];
    let full = loop {
        match log.append(2, b"while full") {
            Ok(_) => taken.push((2, b"while full".to_vec())),
            Err(error) => break error,
        }
        assert!(log.write().is_err());
    };
    assert!(matches!(full, LogError::Full { max: 100, .. }));
    disk.write.store(false, Ordering::SeqCst);
    log.sync().expect("there is room again");
    log.append(3, b"after").expect("appends");
    log.sync().expect("syncs");
    taken.push((3, b"after".to_vec()));
    drop(log);
    let (_, records, recovery) = reopen(dir.path());
    assert_eq!((contents(&records), recovery.corrupt_regions), (taken, 0));
}

#[test]
fn a_failed_sync_moves_what_was_not_safe() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = Faulty::default();
    let mut options = LogOptions::new(dir.path());
    options.disk = Arc::new(disk.clone());
    let (mut log, ..) = open_with(options);
    let safe = log.append(1, b"safe").expect("appends");
    log.sync().expect("syncs");
    let unsafe_at = log.append(2, b"not safe").expect("appends");
    log.write().expect("writes");
    disk.sync.store(true, Ordering::SeqCst);
    log.sync().expect("the second file can be synced");
    let moved = log.take_moved();
    assert_eq!((moved.len(), moved[0].from), (1, unsafe_at));
    assert_ne!(moved[0].to.segment, safe.segment);
    let reader = SegmentReader::open(dir.path(), moved[0].to.segment).expect("opens");
    assert_eq!(reader.read(moved[0].to.offset).expect("reads").payload, b"not safe");
    assert_eq!(log.waiting_bytes(), 0);
}

/// The second sync of a file may succeed although its pages are gone: nothing may be called safe then.
#[test]
fn a_failed_sync_is_not_repeated_where_no_other_segment_can_be_made() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = Faulty::default();
    let mut options = LogOptions::new(dir.path());
    options.disk = Arc::new(disk.clone());
    let (mut log, ..) = open_with(options);
    log.append(1, b"safe").expect("appends");
    log.sync().expect("syncs");
    let at = log.append(2, b"not safe").expect("appends");
    log.write().expect("writes");
    disk.create.store(true, Ordering::SeqCst);
    disk.sync.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(log.sync().is_err(), "no other segment can be made");
        assert!(log.waiting_bytes() > 0, "what is not safe stays in memory");
    }
    // It can be read meanwhile, and more is taken.
    let read = SegmentReader::open(dir.path(), at.segment).expect("opens").read(at.offset);
    assert_eq!(read.expect("reads").payload, b"not safe");
    log.append(3, b"later").expect("appends");
    log.write().expect("writes");
    disk.create.store(false, Ordering::SeqCst);
    log.sync().expect("a new segment takes all of it");
    assert_eq!(log.waiting_bytes(), 0);
    assert_eq!(log.take_moved().len(), 2);
    // Without the segment that is suspect nothing but what was synced there is missing.
    std::fs::remove_file(dir.path().join("00000001.seg")).expect("removes");
    drop(log);
    let (_, records, _) = reopen(dir.path());
    assert_eq!(contents(&records), [(2, b"not safe".to_vec()), (3, b"later".to_vec())]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage anywhere loses records, never invents or changes one, and never stops a start.
    #[test]
    fn damage_costs_only_what_it_hits(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..30),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let (mut log, ..) = reopen(dir.path());
        let mut ends = Vec::new();
        for payload in &payloads {
            log.append(7, payload).expect("appends");
            ends.push(log.current().expect("open").bytes as usize);
        }
        log.sync().expect("syncs");
        drop(log);
        let path = dir.path().join("00000001.seg");
        let mut bytes = std::fs::read(&path).expect("reads");
        let mut hit = vec![false; payloads.len()];
        let owner = |at: usize| ends.partition_point(|&end| end <= at);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if at >= 20 { hit[owner(at)] = true; }
        }
        if let Some(cut) = cut {
            let cut = cut.index(bytes.len());
            bytes.truncate(cut);
            for lost in &mut hit[owner(cut)..] { *lost = true; }
        }
        std::fs::write(&path, bytes).expect("writes");
        let (mut log, records, _) = reopen(dir.path());
        let found: Vec<_> = records.iter().map(|record| record.payload.clone()).collect();
        let intact: Vec<_> = payloads.iter().zip(&hit).filter(|(_, hit)| !**hit).map(|(payload, _)| payload.clone()).collect();
        let mut all = payloads.iter();
        prop_assert!(found.iter().all(|payload| all.any(|written| written == payload)));
        let mut rest = found.iter();
        prop_assert!(intact.iter().all(|payload| rest.any(|read| read == payload)));
        log.append(8, b"goes on").expect("appends");
        log.sync().expect("syncs");
    }
}
