//! Random pushes into a store that forgets and fails, against a model that looks at each series alone.

use std::collections::{BTreeMap, HashMap, HashSet};

use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use storage::{AppendOutcome, CommitSender, Layout, LayoutId, LayoutRef, commit_channel};

use super::*;
use crate::layouts::SLOTS;

type Samples = BTreeMap<String, Vec<(i64, u64)>>;

/// Beyond this time samples are refused.
const FUTURE: i64 = 1_000;

/// What a store does with one sample.
fn judge(samples: &mut Samples, series: &str, time: i64, bits: u64) -> Result<bool, Refusal> {
    if time > FUTURE {
        return Err(Refusal::OutOfBounds);
    }
    let samples = samples.entry(series.to_owned()).or_default();
    match samples.last() {
        Some(&last) if last == (time, bits) => Ok(false),
        Some(&(last, _)) if last == time => Err(Refusal::Duplicate),
        Some(&(last, _)) if last > time => Err(Refusal::OutOfOrder),
        _ => {
            samples.push((time, bits));
            Ok(true)
        }
    }
}

struct Store {
    samples: Mutex<Samples>,
    newest: Mutex<HashMap<LayoutId, i64>>,
    /// Layout references live this many appends.
    life: u64,
    appends: Mutex<u64>,
    down: Mutex<bool>,
    /// It takes no new layout.
    full: Mutex<bool>,
    commits: CommitSender,
}

impl Store {
    fn new(life: u64) -> Arc<Self> {
        Arc::new(Self {
            samples: Mutex::default(),
            newest: Mutex::default(),
            life,
            appends: Mutex::default(),
            down: Mutex::default(),
            full: Mutex::default(),
            commits: commit_channel(),
        })
    }
}

impl Appender for Store {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        assert!(layout.slots().len() <= SLOTS);
        if *self.full.lock() && self.known(&layout).contains(&false) {
            return Err(AppendError::Memory { new: layout.slots().len(), used: 20, max: 10 });
        }
        self.newest.lock().remove(&layout.id());
        Ok(LayoutRef::new(Arc::new(layout), *self.appends.lock() / self.life))
    }

    fn known(&self, layout: &Layout) -> Vec<bool> {
        let samples = self.samples.lock();
        (0..layout.slots().len()).map(|at| samples.contains_key(&layout.series(at).to_string())).collect()
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let mut appends = self.appends.lock();
        if row.layout.token() != *appends / self.life {
            return Err(AppendError::Relayout);
        }
        *appends += 1;
        if *self.down.lock() {
            return Err(AppendError::Unavailable("down".to_owned()));
        }
        assert_eq!(row.cells.len(), row.layout.layout().slots().len());
        let mut counts = [0; 4];
        let mut first_rejected = None;
        for (slot, cell) in row.cells.iter().enumerate() {
            let bits = match cell {
                Cell::Absent => continue,
                Cell::Value(number) => number.to_bits(),
                Cell::Stale => model::STALE_NAN_BITS,
            };
            let labels = row.layout.layout().series(slot);
            let judged = judge(&mut self.samples.lock(), &labels.to_string(), row.timestamp, bits);
            counts[match judged {
                Ok(new) => {
                    counts[0] += usize::from(new);
                    continue;
                }
                Err(Refusal::OutOfOrder) => 1,
                Err(Refusal::Duplicate) => 2,
                Err(Refusal::OutOfBounds | Refusal::TooOld) => 3,
            }] += 1;
            first_rejected.get_or_insert(labels);
        }
        if counts[0] > 0 {
            let mut newest = self.newest.lock();
            let newest = newest.entry(row.layout.layout().id()).or_insert(i64::MIN);
            assert!(*newest <= row.timestamp, "rows of a layout come in order of time");
            *newest = row.timestamp;
        }
        Ok(AppendOutcome {
            appended: counts[0],
            out_of_order: counts[1],
            duplicates: counts[2],
            out_of_bounds: counts[3],
            too_old: 0,
            first_rejected,
            commit: self.commits.commit(1),
        })
    }
}

/// The labels of a key. With aliases, each two keys are one series.
fn labels(key: u8, aliases: bool) -> Labels {
    let number = if aliases { key / 2 } else { key };
    // Two origins, so that their layouts are apart.
    let job = if number.is_multiple_of(3) { "x" } else { "y" };
    Labels::from_pairs([
        ("__name__", "m".to_owned()),
        ("job", job.to_owned()),
        ("number", number.to_string()),
    ])
}

/// What one request pushes: keys, times, values.
type Request = Vec<(u8, i64, u8)>;

fn push(rows: &mut Rows, request: &Request, now: u32, aliases: bool) -> Result<Outcome, AppendError> {
    let mut outcome = Outcome::default();
    rows.begin(now);
    for &(key, time, value) in request {
        let id = match rows.table.find(u128::from(key) + 1) {
            Some(id) => id,
            None => rows.admit(u128::from(key) + 1, &labels(key, aliases), 20, None),
        };
        rows.stage(id, time, f64::from(value).to_bits(), &mut outcome);
    }
    rows.flush(&mut outcome)?;
    Ok(outcome)
}

#[derive(Clone, Debug)]
enum Step {
    Push(Request),
    /// Seconds pass, and the housekeeping comes.
    Sweep(u32),
    /// The store takes nothing during one request.
    Down(Request),
}

fn request() -> impl Strategy<Value = Request> {
    let near = vec((0..90_u8, 0..60_i64, 0..3_u8), 0..120);
    // Last, as senders have them: what a series brings behind such a sample would be late here.
    let far = vec((0..90_u8, 990..1_010_i64, 0..3_u8), 0..3);
    (near, prop_oneof![9 => Just(Vec::new()), 1 => far]).prop_map(|(near, mut far)| {
        far.sort_by_key(|(_, time, _)| *time);
        // Of what one request says twice, the second is judged by the first, whatever became of that.
        let mut said = HashSet::new();
        [near, far].concat().into_iter().filter(|(key, time, _)| said.insert((*key, *time))).collect()
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => request().prop_map(Step::Push),
        1 => (0..8_000_u32).prop_map(Step::Sweep),
        1 => request().prop_map(Step::Down),
    ]
}

proptest! {
    #[test]
    fn every_sample_is_taken_or_refused_as_the_store_alone_would(
        steps in vec(step(), 1..20),
        life in 1..40_u64,
    ) {
        let store = Store::new(life);
        let mut rows = Rows::new(store.clone(), 1 << 20);
        let (mut now, mut model) = (0, Samples::new());
        for step in steps {
            match step {
                Step::Sweep(seconds) => {
                    now += seconds;
                    rows.sweep(now);
                }
                Step::Down(request) => {
                    *store.down.lock() = true;
                    let _ = push(&mut rows, &request, now, false);
                    *store.down.lock() = false;
                }
                Step::Push(request) => {
                    let outcome = push(&mut rows, &request, now, false).expect("the store takes rows");
                    let mut expected = [0; 4];
                    for (key, time, value) in request {
                        let series = labels(key, false).to_string();
                        expected[match judge(&mut model, &series, time, f64::from(value).to_bits()) {
                            Ok(_) => 0,
                            Err(Refusal::OutOfOrder) => 1,
                            Err(Refusal::Duplicate) => 2,
                            Err(Refusal::OutOfBounds | Refusal::TooOld) => 3,
                        }] += 1;
                    }
                    let counted =
                        [outcome.written, outcome.out_of_order, outcome.duplicates, outcome.out_of_bounds];
                    prop_assert_eq!(counted, expected);
                }
            }
            prop_assert!(rows.groups.iter().all(|(_, group)| group.staged.is_empty()));
        }
        model.retain(|_, samples| !samples.is_empty());
        store.samples.lock().retain(|_, samples| !samples.is_empty());
        prop_assert_eq!(&*store.samples.lock(), &model);
    }

    #[test]
    fn a_series_under_two_keys_is_one_series(steps in vec(step(), 1..10)) {
        let store = Store::new(1_000);
        let mut rows = Rows::new(store.clone(), 1 << 20);
        let mut now = 0;
        for step in steps {
            match step {
                Step::Sweep(seconds) => {
                    now += seconds;
                    rows.sweep(now);
                }
                Step::Push(request) | Step::Down(request) => {
                    let outcome = push(&mut rows, &request, now, true).expect("the store takes rows");
                    let refused = outcome.out_of_order + outcome.duplicates + outcome.out_of_bounds;
                    // What is said twice in one row is counted once.
                    prop_assert!(outcome.written + refused <= request.len() as u64);
                }
            }
        }
        for samples in store.samples.lock().values() {
            prop_assert!(samples.is_sorted_by(|one, two| one.0 < two.0));
        }
    }
}

/// Pushes one sample of each key.
fn once(rows: &mut Rows, keys: std::ops::Range<u128>, time: i64, now: u32) {
    let mut outcome = Outcome::default();
    rows.begin(now);
    for key in keys {
        let labels = || Labels::from_pairs([("__name__", format!("m{key}")), ("job", "j".to_owned())]);
        let id = match rows.table.find(key) {
            Some(id) => id,
            None => rows.admit(key, &labels(), 20, None),
        };
        rows.stage(id, time, 0, &mut outcome);
    }
    rows.flush(&mut outcome).expect("the store takes rows");
    assert!(outcome.explained.is_empty(), "{:?}", outcome.explained);
}

#[test]
fn churn_leaves_nothing_behind() {
    let mut rows = Rows::new(Store::new(u64::MAX), 1 << 30);
    // Each minute ten series are new and ten are gone.
    for minute in 0..600_u32 {
        let first = u128::from(minute) * 10 + 1;
        once(&mut rows, first..first + 200, i64::from(minute), minute * 60);
        if minute.is_multiple_of(5) {
            rows.sweep(minute * 60);
        }
    }
    // 200 in use, those of the last hour, and those since the last sweep.
    assert!(rows.table.len() <= 200 + 600 + 50, "{}", rows.table.len());
    let columns: usize = rows.groups.iter().map(|(_, group)| group.slots().len()).sum();
    assert!(columns <= 2 * (200 + 600 + 50) + 2 * SLOTS, "{columns}");
    rows.sweep(10 * 600 * 60);
    assert_eq!((rows.table.len(), rows.groups.len(), rows.table.bytes()), (0, 0, 0));
}

#[test]
fn small_layouts_are_joined_and_then_left_alone() {
    let mut rows = Rows::new(Store::new(u64::MAX), 1 << 30);
    for count in 1..=20 {
        once(&mut rows, 1..count + 1, 0, 0);
    }
    assert_eq!(rows.groups.len(), 20);
    assert_eq!(rows.sweep(10).dissolved, 20);
    once(&mut rows, 1..21, 30, 10);
    assert_eq!((rows.groups.len(), rows.sweep(20).dissolved), (1, 0));
}

#[test]
fn a_time_has_one_value_in_a_request() {
    let store = Store::new(u64::MAX);
    let mut rows = Rows::new(store.clone(), 1 << 30);
    let outcome = push(&mut rows, &vec![(1, 5, 1), (1, 5, 1), (1, 5, 2), (1, 4, 2), (1, 6, 2)], 0, false);
    let outcome = outcome.expect("the store takes rows");
    assert_eq!((outcome.written, outcome.duplicates, outcome.out_of_order), (3, 1, 1));
    let name = labels(1, false).to_string();
    assert_eq!(
        outcome.explained,
        [
            format!("duplicate sample for timestamp for series {name}"),
            format!("out of order sample for series {name}"),
        ]
    );
    assert_eq!(store.samples.lock()[&name], [(5, 1f64.to_bits()), (6, 2f64.to_bits())]);
}

#[test]
fn series_that_are_known_go_on_when_new_ones_are_refused() {
    let store = Store::new(u64::MAX);
    let mut rows = Rows::new(store.clone(), 1 << 30);
    push(&mut rows, &vec![(1, 5, 1), (3, 5, 1)], 0, false).expect("taken");
    *store.full.lock() = true;
    for time in [6, 7] {
        let request = vec![(1, time, 2), (2, time, 2), (6, time, 2), (3, time, 2)];
        let outcome = push(&mut rows, &request, 0, false).expect("the store takes rows");
        assert_eq!((outcome.written, outcome.no_room), (2, 2), "at {time}");
        assert!(outcome.explained[0].starts_with("memory limit exceeded"), "{:?}", outcome.explained);
    }
    *store.full.lock() = false;
    let outcome = push(&mut rows, &vec![(2, 8, 3), (1, 8, 3)], 0, false).expect("taken");
    assert_eq!((outcome.written, outcome.no_room), (2, 0));
    let samples = store.samples.lock();
    let times = |key| samples[&labels(key, false).to_string()].iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!((times(1), times(3), times(2)), (vec![5, 6, 7, 8], vec![5, 6, 7], vec![8]));
}

/// Of another process, which knows nothing of what the store has: one layout is to take what is there and what is new.
#[test]
fn after_a_start_series_go_on_beside_new_ones_that_are_refused() {
    let store = Store::new(u64::MAX);
    push(&mut Rows::new(store.clone(), 1 << 30), &vec![(1, 5, 1), (5, 5, 1)], 0, false).expect("taken");
    *store.full.lock() = true;
    let mut rows = Rows::new(store.clone(), 1 << 30);
    for time in [6, 8] {
        let request = vec![(1, time, 2), (2, time, 2), (5, time, 2), (5, time + 1, 4), (4, time, 2)];
        let outcome = push(&mut rows, &request, 0, false).expect("the store takes rows");
        assert_eq!((outcome.written, outcome.no_room), (3, 2), "at {time}: {:?}", outcome.explained);
    }
    assert_eq!(rows.groups.len(), 2, "one of what is known, one of what is not");
    *store.full.lock() = false;
    let outcome = push(&mut rows, &vec![(1, 10, 3), (2, 10, 3), (4, 10, 3)], 0, false).expect("taken");
    assert_eq!((outcome.written, outcome.no_room), (3, 0));
    let samples = store.samples.lock();
    let times = |key| samples[&labels(key, false).to_string()].iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!((times(1), times(2), times(4)), (vec![5, 6, 8, 10], vec![10], vec![10]));
    assert_eq!(times(5), [5, 6, 7, 8, 9]);
}

#[test]
fn a_series_that_lags_moves_to_another_layout() {
    let mut rows = Rows::new(Store::new(u64::MAX), 1 << 30);
    once(&mut rows, 1..11, 100, 0);
    once(&mut rows, 1..6, 200, 0);
    once(&mut rows, 6..11, 150, 0);
    assert_eq!((rows.moved, rows.groups.len()), (5, 2));
    once(&mut rows, 1..6, 300, 0);
    once(&mut rows, 6..11, 250, 0);
    assert_eq!((rows.moved, rows.groups.len()), (5, 2), "they lag together from then on");
}

/// A store that takes late samples from time 10 on.
struct Late(Arc<Store>);

impl Appender for Late {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), 1))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let mut outcome = AppendOutcome {
            appended: 0,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.0.commits.commit(1),
        };
        for (slot, cell) in row.cells.iter().enumerate() {
            let Cell::Value(number) = cell else { continue };
            let labels = row.layout.layout().series(slot);
            if row.timestamp < 10 {
                outcome.too_old += 1;
                outcome.first_rejected.get_or_insert(labels);
                continue;
            }
            outcome.appended += 1;
            let sample = (row.timestamp, number.to_bits());
            self.0.samples.lock().entry(labels.to_string()).or_default().push(sample);
        }
        Ok(outcome)
    }

    fn takes_out_of_order(&self) -> bool {
        true
    }
}

#[test]
fn late_samples_are_for_the_store_to_judge_where_it_takes_any() {
    let store = Store::new(u64::MAX);
    let mut rows = Rows::new(Arc::new(Late(Arc::clone(&store))), 1 << 30);
    push(&mut rows, &vec![(1, 50, 1), (2, 50, 1)], 0, false).expect("taken");
    let outcome = push(&mut rows, &vec![(1, 40, 2), (1, 9, 3), (1, 60, 4), (1, 55, 5), (1, 60, 6)], 0, false);
    let outcome = outcome.expect("taken");
    assert_eq!((outcome.written, outcome.too_old, outcome.duplicates, outcome.out_of_order), (3, 1, 1, 0));
    let name = labels(1, false).to_string();
    assert!(
        outcome.explained.contains(&format!("too old sample for series {name}")),
        "{:?}",
        outcome.explained
    );
    let samples: Vec<i64> = store.samples.lock()[&name].iter().map(|sample| sample.0).collect();
    assert_eq!(samples, [50, 40, 55, 60]);
    assert_eq!((rows.moved, rows.groups.len()), (0, 1), "nothing moves because of it");
}
