//! openraft's own suite over our log and state machine, and what it does not check.

use std::sync::Arc;

use env::Tasks;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{EntryPayload, StorageError};
use tokio::sync::watch;

use crate::codec;
use crate::engine::{EngineLeaderId, Entry, LogId, Proposal, TypeConfig, Vote};
use crate::log::LogStore;
use crate::machine::Machine;
use crate::snapshot::SnapshotDir;
use crate::types::{Applied, StateMachine};

struct Nothing;

impl StateMachine for Nothing {
    fn apply(&self, _: Applied, _: &[u8]) -> Vec<u8> {
        Vec::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        let files = SnapshotDir::new(&folder.path().join("snapshots")).expect("a folder");
        let machine = Machine::open(Arc::new(Nothing), files, Tasks::new()).expect("no snapshot to read");
        Ok((folder, store, machine))
    }
}

fn open(folder: &std::path::Path) -> LogStore {
    LogStore::open(&crate::log::log_dir(folder), watch::channel(None).0).expect("opens")
}

fn id(term: u64, index: u64) -> LogId {
    LogId::new(EngineLeaderId { term, node_id: 1 }, index)
}

fn entry(term: u64, index: u64) -> Entry {
    Entry { log_id: id(term, index), payload: EntryPayload::Normal(Proposal::Command(vec![7; 10])) }
}

/// A suite of many small cases, each with an own folder.
#[test]
fn openrafts_suite_passes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Suite::test_all(Builder)).expect("every case");
}

#[tokio::test]
async fn what_was_told_to_be_on_disk_is_there_after_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    store.save_vote(&Vote::new_committed(3, 1)).await.expect("saved");
    store.blocking_append((0..5).map(|index| entry(3, index))).await.expect("appended");
    store.truncate_after(Some(id(3, 3))).await.expect("truncated");
    store.purge(id(3, 1)).await.expect("purged");
    store.save_committed(Some(id(3, 2))).await.expect("saved");
    // The files of this moment are what a killed process leaves; nothing was closed.
    let crashed = tempfile::tempdir().expect("a folder");
    copy(&crate::log::log_dir(folder.path()), &crate::log::log_dir(crashed.path()));
    let mut again = open(crashed.path());
    assert_eq!(again.read_vote().await.expect("read"), Some(Vote::new_committed(3, 1)));
    assert_eq!(again.read_committed().await.expect("read"), Some(id(3, 2)));
    let state = again.get_log_state().await.expect("read");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(id(3, 1)), Some(id(3, 3))));
    let entries = again.try_get_log_entries(0..10).await.expect("read");
    assert_eq!(entries.iter().map(|entry| entry.log_id.index).collect::<Vec<_>>(), [2, 3]);
}

#[tokio::test]
async fn a_closed_log_refuses_and_can_be_opened_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    store.blocking_append([entry(1, 0)]).await.expect("appended");
    store.close().await;
    assert!(store.save_vote(&Vote::new(9, 9)).await.is_err());
    assert!(store.blocking_append([entry(1, 1)]).await.is_err());
    let mut again = open(folder.path());
    assert_eq!(again.try_get_log_entries(0..9).await.expect("read").len(), 1);
    assert_eq!(again.read_vote().await.expect("read"), None);
}

#[test]
fn a_store_that_is_dropped_has_closed_its_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    for _ in 0..30 {
        drop(open(folder.path()));
    }
}

#[tokio::test]
async fn a_read_is_bounded_by_bytes_but_never_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let big = |index| Entry {
        log_id: id(1, index),
        payload: EntryPayload::Normal(Proposal::Command(vec![0; 700 << 10])),
    };
    store.blocking_append((0..4).map(big)).await.expect("appended");
    assert_eq!(store.limited_get_log_entries(0, 4).await.expect("read").len(), 1);
    assert_eq!(store.try_get_log_entries(0..4).await.expect("read").len(), 4);
}

#[test]
fn every_kind_of_entry_survives_its_format() {
    let members = openraft::Membership::new(
        vec![[1, 2].into(), [2, 3].into()],
        std::collections::BTreeMap::from([1, 2, 3].map(|id| (id, crate::engine::Member::default()))),
    )
    .expect("valid");
    for payload in [
        EntryPayload::Blank,
        EntryPayload::Normal(Proposal::Command(Vec::new())),
        EntryPayload::Normal(Proposal::Command(vec![1, 2, 3])),
        EntryPayload::Normal(Proposal::Allocate),
        EntryPayload::Membership(members),
    ] {
        let entry = Entry { log_id: id(4, 9), payload };
        let bytes = codec::encode(&codec::from_entry(&entry));
        let again = codec::to_entry(codec::decode(&bytes).expect("decodes")).expect("known");
        assert_eq!(again, entry);
    }
}

#[test]
fn an_entry_of_a_later_version_is_refused() {
    let mut bytes = codec::encode(&codec::from_entry(&entry(1, 1))).to_vec();
    let kind = bytes.iter().position(|byte| *byte == 3 << 3 | 2).expect("the command's tag");
    bytes[kind] = 14 << 3 | 2;
    assert!(codec::to_entry(codec::decode(&bytes).expect("decodes")).is_err());
}

#[tokio::test]
async fn a_node_that_cannot_write_its_log_stops_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        crate::RaftOptions::new(folder.path().to_owned(), "solo".to_owned(), "127.0.0.1:1".to_owned());
    let wait = std::time::Duration::from_secs(20);
    let (clock, random) = (env::SystemClock::shared(), env::SystemRandom::shared());
    let (registry, tasks) = (telemetry::Registry::new(), Tasks::new());
    let raft = crate::Raft::start(options, Arc::new(Nothing), clock, random, &tasks, &registry);
    let raft = raft.await.expect("starts");
    raft.propose(vec![1], wait).await.expect("works");
    raft.node().store.close().await;
    assert!(raft.propose(vec![2], wait).await.is_err());
    let mut fatal = raft.fatal();
    let told = tokio::time::timeout(wait, fatal.wait_for(Option::is_some)).await;
    assert!(told.is_ok_and(|told| told.is_ok()));
    assert!(!raft.lease_valid());
    assert!(matches!(raft.propose(vec![3], wait).await, Err(crate::ProposeError::Stopped(_))));
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("created");
    for entry in std::fs::read_dir(from).expect("listed") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.file_name().is_some_and(|name| name != "LOCK") {
            std::fs::copy(&path, &target).expect("copied");
        }
    }
}

/// Callers spawn these.
#[test]
fn every_call_can_move_between_threads() {
    fn moves<T: Send>(_: impl FnOnce(crate::Raft) -> T) {}
    let wait = std::time::Duration::ZERO;
    moves(|raft| async move { raft.propose(Vec::new(), wait).await });
    moves(|raft| async move { raft.read_index(wait).await });
    moves(|raft| async move { raft.add("", wait).await });
    moves(|raft| async move { raft.remove("", wait).await });
    moves(|raft| async move { raft.transfer(None, wait).await });
    moves(|raft| async move { raft.shutdown(wait).await });
}
