//! A histogram that was put into columns comes back bit by bit, whatever else the columns have held.

use std::sync::{Arc, Mutex};

use model::histogram::{AnyHistogram, Buckets, Count, Histogram, ResetHint, Resolution, Schema};
use model::{Labels, Metadata};
use proptest::prelude::*;

use super::*;
use crate::append::{AppendOutcome, Appender, Cell, CommitSender, LayoutRef, Row, commit_channel};
use crate::error::AppendError;
use crate::layout::Layout;

/// Puts every row together again.
struct Memory {
    back: Mutex<Vec<(i64, Option<AnyHistogram>)>>,
    layouts: Mutex<Vec<Layout>>,
    commits: CommitSender,
}

impl Appender for Memory {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        self.layouts.lock().expect("whole").push(layout.clone());
        Ok(LayoutRef::new(Arc::new(layout), 0))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        let slots = row.layout.layout().slots();
        assert_eq!((row.cells.len(), row.layout.layout().series_count()), (slots.len(), 1));
        let assembler = Assembler::new(slots.iter().filter_map(|slot| slot.part.as_deref()).collect());
        let bits: Vec<Option<u64>> = row.cells.iter().map(bits).collect();
        let histogram = assembler.expect("a first column").assemble(&bits);
        self.back.lock().expect("whole").push((row.timestamp, histogram));
        Ok(AppendOutcome {
            appended: 1,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.commits.commit(1),
        })
    }
}

fn bits(cell: &Cell) -> Option<u64> {
    match cell {
        Cell::Absent => None,
        Cell::Stale => Some(model::STALE_NAN_BITS),
        Cell::Value(number) => Some(number.to_bits()),
    }
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), (-100..100i32).prop_map(|n| f64::from(n) / 4.0)]
}

fn side<C: Count + 'static>(count: impl Strategy<Value = C>) -> impl Strategy<Value = Buckets<C>> {
    let index = prop_oneof![-20..20i32, Just(1 << 30), Just(-(1 << 30)), Just(1000)];
    prop::collection::btree_map(index, count, 0..8).prop_map(|cells| cells.into_iter().collect())
}

fn schema() -> impl Strategy<Value = Schema> {
    let bound = prop::sample::select(vec![-0.0, 0.0, 1.5, 2.0]);
    prop_oneof![
        (-4..=8i32).prop_map(|schema| Schema::Exponential(Resolution::new(schema).expect("a schema"))),
        prop::collection::vec(bound, 0..4).prop_map(|bounds| Schema::Custom(bounds.into())),
    ]
}

fn of<C: Count + 'static>(count: &BoxedStrategy<C>) -> impl Strategy<Value = Histogram<C>> + use<C> {
    let hints = vec![ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset, ResetHint::Gauge];
    let head = (prop::sample::select(hints), schema(), prop_oneof![Just(0.0), float()], float());
    let sides = (side(count.clone()), side(count.clone()));
    (head, sides, count.clone(), count.clone()).prop_map(|(head, sides, zero_count, count)| {
        let (reset_hint, schema, zero_threshold, sum) = head;
        let (positive, negative) = sides;
        Histogram { reset_hint, schema, zero_threshold, zero_count, count, sum, positive, negative }
    })
}

fn histogram() -> impl Strategy<Value = AnyHistogram> {
    let integer = prop_oneof![0..50u64, any::<u64>(), Just(1 << 53), Just((1 << 53) - 1)].boxed();
    prop_oneof![
        of(&integer).prop_map(AnyHistogram::Integer),
        of(&float().boxed()).prop_map(AnyHistogram::Float)
    ]
}

/// All bits, which equality of floats does not see.
fn exact(histogram: &AnyHistogram) -> String {
    fn of<C: Count>(one: &Histogram<C>, count: impl Fn(C) -> u64) -> String {
        let side = |side: &Buckets<C>| side.iter().map(|(at, n)| (at, count(n))).collect::<Vec<_>>();
        let bounds: Vec<u64> = match &one.schema {
            Schema::Custom(bounds) => bounds.iter().map(|bound| bound.to_bits()).collect(),
            Schema::Exponential(_) => Vec::new(),
        };
        format!(
            "{:?} {} {bounds:?} {:x} {:x} {:x} {:x} {:?} {:?} {:?} {:?}",
            one.reset_hint,
            one.schema.number(),
            one.zero_threshold.to_bits(),
            count(one.zero_count),
            count(one.count),
            one.sum.to_bits(),
            one.positive.spans(),
            side(&one.positive),
            one.negative.spans(),
            side(&one.negative),
        )
    }
    match histogram {
        AnyHistogram::Integer(one) => format!("integer {}", of(one, |count| count)),
        AnyHistogram::Float(one) => format!("float {}", of(one, f64::to_bits)),
    }
}

fn memory() -> Memory {
    Memory { back: Mutex::default(), layouts: Mutex::default(), commits: commit_channel() }
}

fn columns() -> HistogramColumns {
    let labels = Labels::from_pairs([("__name__", "h")]);
    HistogramColumns::new(Labels::from_pairs([("job", "j")]), labels, Metadata::default())
}

proptest! {
    #[test]
    fn columns_give_back_every_bit(histograms in prop::collection::vec(histogram(), 1..6)) {
        let (memory, mut columns) = (memory(), columns());
        for (at, histogram) in (0..).zip(&histograms) {
            columns.append(&memory, at, histogram).expect("appends");
        }
        let back = memory.back.into_inner().expect("whole");
        prop_assert_eq!(back.len(), histograms.len());
        for ((_, back), histogram) in back.iter().zip(&histograms) {
            let back = back.as_ref().expect("whole");
            if histogram.is_stale() {
                prop_assert!(back.is_stale());
            } else {
                prop_assert_eq!(exact(back), exact(histogram));
            }
        }
    }

    #[test]
    fn any_bits_are_refused_or_a_histogram(
        histogram in histogram(), bits in prop::collection::vec(prop::option::of(any::<u64>()), 0..40),
    ) {
        let memory = memory();
        columns().append(&memory, 0, &histogram).expect("appends");
        let layout = memory.layouts.lock().expect("whole").pop().expect("one");
        let parts = layout.slots().iter().filter_map(|slot| slot.part.as_deref()).collect();
        let _ = Assembler::new(parts).expect("a first column").assemble(&bits);
    }
}

#[test]
fn a_growing_histogram_needs_few_layouts() {
    let (memory, mut columns) = (memory(), columns());
    for last in 0..100 {
        let positive: Buckets<u64> = (0..=last).map(|index| (index, 1)).collect();
        let count = u64::try_from(last).expect("small") + 1;
        let histogram = Histogram { positive, count, ..Histogram::default() };
        columns.append(&memory, i64::from(last), &AnyHistogram::Integer(histogram)).expect("appends");
    }
    assert!(
        memory.layouts.lock().expect("whole").len() <= 25,
        "{}",
        memory.layouts.lock().expect("whole").len()
    );
    let end = columns.end(&memory, 200).expect("appends").expect("has begun");
    assert_eq!(end.appended, 1);
    let last = memory.back.lock().expect("whole").pop().expect("the marker");
    assert!(last.0 == 200 && last.1.expect("whole").is_stale());
    assert!(
        HistogramColumns::new(Labels::empty(), Labels::empty(), Metadata::default())
            .end(&memory, 0)
            .expect("nothing")
            .is_none()
    );
}

#[test]
fn only_columns_in_order_make_a_layout() {
    let memory = memory();
    let of_two =
        Histogram { positive: [(1, 1u64), (2, 1)].into_iter().collect(), count: 2, ..Histogram::default() };
    columns().append(&memory, 0, &AnyHistogram::Integer(of_two)).expect("appends");
    let layout = memory.layouts.lock().expect("whole").pop().expect("one");
    let slots = layout.slots().to_vec();
    let with = |change: &dyn Fn(&mut Vec<crate::Slot>)| {
        let mut slots = slots.clone();
        change(&mut slots);
        Layout::new(Labels::empty(), slots)
    };
    assert!(with(&|_| {}).is_ok());
    assert!(with(&|slots| drop(slots.remove(0))).is_err());
    assert!(with(&|slots| slots.swap(5, 6)).is_err());
    assert!(with(&|slots| slots.extend_from_within(..1)).is_err());
    assert!(with(&|slots| slots[3].part = None).is_err());
    assert!(with(&|slots| slots[4].labels = Labels::from_pairs([("__name__", "g")])).is_err());
    assert_ne!(
        with(&|slots| drop(slots.pop())).expect("valid").id(),
        layout.id(),
        "the parts are part of the id"
    );
}
