//! What batches tell besides samples: shared slots and times, constant columns, summaries, and bytes.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::*;
use env::SimulatedClock;
use model::Matcher;
use storage::{Appender, Batch, BatchSelect, Budget, FloatColumn, Floats, Querier, QueryError, TimeRange};
use vedette_tsdb::Store;

const HOSTS: usize = 3;
const SLOTS: usize = 70;
const ROWS: i64 = 200;

/// Hosts with pages of one shape: slot 0 counts, slot 1 is zero, the others stay what they are.
fn filled(store: &Store, clock: &SimulatedClock) {
    for row in 0..ROWS {
        clock.advance(Duration::from_secs(15));
        for host in 0..HOSTS {
            let page = store.layout(layout(&host.to_string(), SLOTS)).expect("layout");
            let cells: Vec<_> = (0..SLOTS)
                .map(|slot| value(if slot == 0 { row as f64 } else { (slot - 1) as f64 }))
                .collect();
            append(store, &page, T0 + (row + 1) * 15_000, &cells);
        }
    }
    store.flush().expect("flushes");
}

fn read(store: &Store, matchers: Vec<Matcher>, budget: &Budget) -> Result<Vec<Batch>, QueryError> {
    wait(async {
        let asked = BatchSelect { matchers, range: TimeRange::ALL, budget: budget.clone(), newest: false };
        let mut batches = store.batches(asked).await?;
        let mut all = Vec::new();
        while let Some(batch) = batches.next().await? {
            all.push(batch);
        }
        Ok(all)
    })
}

#[test]
fn batches_share_slots_and_times_and_tell_what_is_constant() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    filled(&store, &clock);
    let check = |all: &[Batch], is_sealed: bool| {
        let first = &all[0];
        assert!(all.iter().all(|batch| batch.group.has_slots_of(&first.group)), "one shape");
        let mut groups: Vec<_> = all.iter().map(|batch| Arc::as_ptr(&batch.group)).collect();
        groups.dedup();
        assert_eq!((groups.len(), first.group.len()), (HOSTS, SLOTS));
        let mut scratch = Floats::default();
        for batch in all {
            for (column, &series) in batch.series.iter().enumerate() {
                let found = batch.floats(column, &mut scratch).expect("decodes");
                let is_constant =
                    matches!(found, FloatColumn::Constant(value) if value == f64::from(series) - 1.0);
                assert_eq!(is_constant, series > 0, "slot {series}");
                let Some(summary) = batch.summary(column) else { continue };
                let last = if series == 0 { ROWS as f64 - 1.0 } else { f64::from(series) - 1.0 };
                assert_eq!((i64::from(summary.count), summary.last), (ROWS, last));
            }
            assert_eq!(batch.summaries.len(), if is_sealed { batch.columns() } else { 0 });
        }
    };
    check(&read(&store, Vec::new(), &Budget::unlimited()).expect("answers"), false);
    clock.advance(Duration::from_millis(3 * WINDOW as u64));
    store.maintain();
    assert_eq!(store.status().sealed_windows, 1);
    let parts = store.sealed_parts();
    let told: Vec<_> = parts.iter().map(|part| (part.end - part.start, part.samples, part.is_day)).collect();
    assert_eq!(told, [(WINDOW, store.status().sealed_samples, false)]);
    let all = read(&store, Vec::new(), &Budget::unlimited()).expect("answers");
    check(&all, true);
    // Two blocks a host, which come from the same rows.
    assert_eq!(all.len(), 2 * HOSTS);
    assert!(all.chunks(2).all(|host| host[0].times.is(&host[1].times)));
}

#[test]
fn a_budget_bounds_what_is_held_at_a_time() {
    let (dir, clock) = (tempfile::tempdir().expect("dir"), SimulatedClock::at(T0));
    let store = open(dir.path(), "n", &clock, 1);
    filled(&store, &clock);
    let whole = Budget::unlimited();
    let held = read(&store, Vec::new(), &whole).expect("answers");
    let bytes = whole.used();
    assert!(bytes > 0);
    drop(held);
    assert_eq!(whole.used(), 0, "all is given back");
    let limit = bytes / 2;
    let error = read(&store, Vec::new(), &Budget::new(limit)).expect_err("too much at a time");
    assert!(matches!(&error, QueryError::Limit(text) if text.contains(&format!("{limit} bytes"))), "{error}");
    let one = Matcher::equal("instance", "0");
    assert!(read(&store, vec![one], &Budget::new(limit)).is_ok(), "one of three hosts fits");
}
