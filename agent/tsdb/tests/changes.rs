//! Rows of which is told what changed are the rows that they would be if nothing were told.

mod common;

use std::time::Duration;

use common::*;
use env::SimulatedClock;
use proptest::prelude::*;
use storage::{Appender, Cell, Changes, Number, Row, RowMark};

const SLOTS: usize = 70;

/// What happens next.
#[derive(Clone, Debug)]
enum Step {
    /// A row so much later, in which these cells are others, and these may be for all that is told.
    Row(i64, Vec<(usize, Cell)>, Vec<usize>),
    /// A row of somebody else, so much later.
    Foreign(i64, Vec<(usize, Cell)>),
    /// Nothing for so long.
    Wait(i64),
}

fn any_step() -> impl Strategy<Value = Step> {
    let cell = prop_oneof![
        8 => (-5i64..50, 0u8..3).prop_map(|(mantissa, exponent)| Cell::Value(Number::Decimal { mantissa, exponent })),
        1 => any::<u64>().prop_map(|bits| Cell::Value(Number::from_f64(f64::from_bits(bits)))),
        1 => Just(Cell::Stale),
        1 => Just(Cell::Absent),
    ];
    let cells = prop::collection::vec((0..SLOTS, cell), 0..4);
    let later = prop_oneof![8 => 1i64..2_000, 1 => -3_000i64..1];
    prop_oneof![
        20 => (later, cells.clone(), prop::collection::vec(0..SLOTS, 0..3)).prop_map(|(later, cells, told)| Step::Row(later, cells, told)),
        1 => (1i64..2_000, cells).prop_map(|(later, cells)| Step::Foreign(later, cells)),
        1 => (1..WINDOW).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn a_row_is_the_same_whatever_is_told(begin in prop::sample::select(vec![1i64, 50]), steps in prop::collection::vec(any_step(), 1..120)) {
        let (told, plain) = (folder(), folder());
        let clock = SimulatedClock::at(T0);
        let (store, other) = (open(told.path(), "n", &clock, 1), open(plain.path(), "n", &clock, 1));
        let page = layout("a", SLOTS);
        let (mut one, mut two) = (store.layout(page.clone()).expect("layout"), other.layout(page.clone()).expect("layout"));
        let mut cells: Vec<Cell> = (0..SLOTS).map(|at| value(at as f64)).collect();
        let (mut changed, mut mark, mut time): (_, Option<RowMark>, _) = ([0u64; 2], None, T0 + begin);
        for step in steps {
            match step {
                Step::Wait(wait) => {
                    clock.advance(Duration::from_millis(wait.unsigned_abs()));
                    time += wait;
                    // They may have been forgotten.
                    one = store.layout(page.clone()).expect("layout");
                    two = other.layout(page.clone()).expect("layout");
                }
                Step::Foreign(later, others) => {
                    time += later;
                    let mut row = cells.clone();
                    others.into_iter().for_each(|(slot, cell)| row[slot] = cell);
                    append(&store, &one, time, &row);
                    append(&other, &two, time, &row);
                }
                Step::Row(later, others, more) => {
                    time += later;
                    for slot in more.into_iter().chain(others.iter().map(|(slot, _)| *slot)) {
                        changed[slot / 64] |= 1 << (slot % 64);
                    }
                    others.into_iter().for_each(|(slot, cell)| cells[slot] = cell);
                    let changes = mark.map(|since| Changes { since, slots: &changed });
                    let row = Row { layout: &one, timestamp: time, cells: &cells };
                    let (outcome, next) = store.append_changes(row, changes).expect("appends");
                    let expected = append(&other, &two, time, &cells);
                    prop_assert_eq!(
                        (outcome.appended, outcome.duplicates, outcome.out_of_order, outcome.out_of_bounds),
                        (expected.appended, expected.duplicates, expected.out_of_order, expected.out_of_bounds)
                    );
                    (mark, changed) = (next, [0; 2]);
                }
            }
        }
        let expected = everything(&other);
        prop_assert_eq!(&everything(&store), &expected);
        store.close().expect("closes");
        drop(store);
        prop_assert_eq!(&everything(&open(told.path(), "n", &clock, 2)), &expected, "from the log");
    }
}
