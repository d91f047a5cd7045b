//! A store that takes no new series: those that it has go on, whatever else is on their page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use exposition::Format;
use model::Labels;
use parking_lot::Mutex;
use storage::{
    AppendError, AppendOutcome, Appender, Cell, CommitSender, Layout, LayoutRef, Row, commit_channel,
};
use vedette_scrape::{PageAppender, ScrapeConfig};

/// What it has, by series.
#[derive(Default)]
struct State {
    full: bool,
    known: BTreeSet<String>,
    values: BTreeMap<String, Vec<Option<f64>>>,
    asked: usize,
}

struct Full(Mutex<State>, CommitSender);

impl Appender for Full {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        let mut state = self.0.lock();
        state.asked += 1;
        let series: Vec<String> = (0..layout.slots().len()).map(|at| layout.series(at).to_string()).collect();
        let new = series.iter().filter(|one| !state.known.contains(*one)).count();
        if state.full && new > 0 {
            return Err(AppendError::Memory { new, used: 20, max: 10 });
        }
        state.known.extend(series);
        Ok(LayoutRef::new(Arc::new(layout), 1))
    }

    fn known(&self, layout: &Layout) -> Vec<bool> {
        let state = self.0.lock();
        (0..layout.slots().len()).map(|at| state.known.contains(&layout.series(at).to_string())).collect()
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let mut state = self.0.lock();
        for (at, cell) in row.cells.iter().enumerate() {
            let value = match cell {
                Cell::Absent => continue,
                Cell::Stale => None,
                Cell::Value(number) => Some(number.to_f64()),
            };
            state
                .values
                .entry(row.layout.layout().series(at).metric_name().to_owned())
                .or_default()
                .push(value);
        }
        Ok(AppendOutcome {
            appended: row.cells.len(),
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.1.commit(1),
        })
    }
}

impl Full {
    fn values(&self, name: &str) -> Vec<Option<f64>> {
        self.0.lock().values.get(name).cloned().unwrap_or_default()
    }
}

#[test]
fn known_series_go_on_and_new_ones_begin_when_there_is_room() {
    let store = Arc::new(Full(Mutex::default(), commit_channel()));
    let config = ScrapeConfig::new("job");
    let target = |name: &str| {
        PageAppender::new(config.clone(), Labels::from_pairs([("instance", name)]), store.clone())
    };
    let mut page = target("a");
    let mut time = 0;
    let mut scrape = |page: &mut PageAppender, text: &str| {
        time += 1;
        page.append(text.as_bytes(), Format::Text, time)
    };
    assert_eq!(scrape(&mut page, "x 1\ny 2\n"), Ok(2));
    store.0.lock().full = true;
    for _ in 0..3 {
        assert_eq!(scrape(&mut page, "x 3\nnew 4\ny 5\n"), Ok(3));
    }
    // One fewer is none that is new.
    assert_eq!(scrape(&mut page, "y 6\n"), Ok(1));
    assert_eq!(scrape(&mut page, "y 7\nnew 8\n"), Ok(2));
    assert_eq!(store.values("y"), [2.0, 5.0, 5.0, 5.0, 6.0, 7.0].map(Some));
    assert_eq!(store.values("x"), [Some(1.0), Some(3.0), Some(3.0), Some(3.0), None], "it ended");
    assert_eq!(store.values("new"), []);

    let error = scrape(&mut target("b"), "x 1\n").expect_err("all of it is new");
    assert_eq!(
        error,
        "memory limit exceeded (1 new series refused, in use: 20 bytes, limit: 10 bytes, --storage.memory-limit)"
    );

    store.0.lock().full = false;
    assert_eq!(scrape(&mut page, "y 9\nnew 10\n"), Ok(2));
    assert_eq!((store.values("y").last(), store.values("new")), (Some(&Some(9.0)), vec![Some(10.0)]));
    let asked = store.0.lock().asked;
    assert_eq!(scrape(&mut page, "y 11\nnew 12\n"), Ok(2));
    assert_eq!(store.0.lock().asked, asked, "what a page means is known again");
}

/// Another process scrapes the target: it knows nothing of what the store has.
#[test]
fn after_a_start_known_series_go_on_beside_new_ones() {
    let store = Arc::new(Full(Mutex::default(), commit_channel()));
    let config = ScrapeConfig::new("job");
    let target = || PageAppender::new(config.clone(), Labels::from_pairs([("instance", "a")]), store.clone());
    let mut page = target();
    assert_eq!(page.append(b"x 1\ny 2\nz 3\n", Format::Text, 1), Ok(3));
    store.0.lock().full = true;
    let mut page = target();
    for time in 2..5 {
        assert_eq!(page.append(b"z 5\nnew 4\nx 6\n", Format::Text, time), Ok(3));
    }
    // One that the last page did not have is known to the store.
    assert_eq!(page.append(b"x 7\ny 8\nnew 9\n", Format::Text, 5), Ok(3));
    assert_eq!(store.values("x"), [1.0, 6.0, 6.0, 6.0, 7.0].map(Some));
    assert_eq!(store.values("y"), [2.0, 8.0].map(Some));
    assert_eq!(store.values("z"), [Some(3.0), Some(5.0), Some(5.0), Some(5.0), None], "it ended");
    assert_eq!(store.values("new"), []);
    store.0.lock().full = false;
    assert_eq!(page.append(b"x 10\nnew 11\n", Format::Text, 6), Ok(2));
    assert_eq!(store.values("new"), [Some(11.0)]);
}
