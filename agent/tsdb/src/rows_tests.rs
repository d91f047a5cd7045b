//! Rows against a naive list of them, as their writer keeps them and as a receiver does, in whatever order
//! they come.

use proptest::prelude::*;
use storage::Number;

use super::*;
use crate::run::Point;
use crate::window::cell_bits;

const SLOTS: usize = 5;

fn any_cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        6 => (0u8..4).prop_map(|number| Cell::Value(Number::from_f64(f64::from(number)))),
        2 => (0u32..400).prop_map(|number| Cell::Value(Number::from_f64(f64::from(number) / 100.0))),
        1 => any::<u64>().prop_map(|bits| Cell::Value(Number::from_f64(f64::from_bits(bits)))),
        1 => Just(Cell::Stale),
        3 => Just(Cell::Absent),
    ]
}

/// Time since the row before, whether it must be a keyframe, cells.
type Step = (i64, bool, Vec<Cell>);

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![9 => 1i64..20_000, 1 => -30_000i64..0];
    prop::collection::vec(
        (step, prop::bool::weighted(0.03), prop::collection::vec(any_cell(), SLOTS)),
        1..300,
    )
}

/// What a slot should hold, in order of time and sequence.
fn naive(rows: &[(i64, Vec<Cell>)], slot: usize, range: TimeRange) -> Vec<Point> {
    let mut points: Vec<Point> = (0..)
        .zip(rows)
        .filter(|(_, (timestamp, _))| range.contains(*timestamp))
        .filter_map(|(at, (timestamp, cells))| {
            Some(Point { timestamp: *timestamp, bits: cell_bits(cells[slot])?, sequence: (1, at) })
        })
        .collect();
    points.sort_by_key(|point| (point.timestamp, point.sequence));
    points
}

fn read(rows: &Rows, slots: &[u32], range: TimeRange) -> Vec<Vec<Point>> {
    rows.view(slots, range).points().expect("reads")
}

proptest! {
    #[test]
    fn rows_read_back_as_they_were_written(
        steps in any_steps(), order: u64, shuffled: bool, from in 0usize..300, to in 0usize..300, slots in prop::sample::subsequence((0..SLOTS as u32).collect::<Vec<_>>(), 1..=SLOTS),
    ) {
        let (mut own, mut body, mut written) = (Rows::bounded(SLOTS, None), Vec::new(), Vec::new());
        let mut timestamp = 1_000_000;
        for (at, (since, keyframe, cells)) in steps.iter().enumerate() {
            timestamp += since;
            let next = NextRow { keyframe: *keyframe, layout: 0, timestamp, cells, changed: None };
            own.append(at as u64, next, Origin { seq: 1, row: at as u32 }, &mut body);
            written.push((timestamp, cells.clone()));
        }
        let range = TimeRange { start: written[from % written.len()].0, end: written[to % written.len()].0 };
        let mut raws: Vec<_> = (0..).zip(row::rows(&body)).map(|(at, raw)| (at, raw.expect("well formed"))).collect();
        if shuffled {
            raws.sort_by_key(|(at, _)| (u64::from(*at) ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7);
        }
        let (mut received, mut left, mut applied) = (Rows::bounded(SLOTS, None), usize::MAX, Applied::default());
        for (at, raw) in &raws {
            received.apply(raw, TimeRange::ALL, Origin { seq: 1, row: *at }, &mut left, &mut applied);
        }
        prop_assert_eq!((applied.bad_rows, applied.dropped_rows, received.waiting_bytes()), (0, 0, 0));
        prop_assert_eq!(received.tails.len(), 1, "nothing builds on the row before a keyframe");
        let samples = written.iter().flat_map(|(_, cells)| cells).filter(|cell| **cell != Cell::Absent).count();
        prop_assert_eq!(applied.samples, samples);
        for wanted in [TimeRange::ALL, range] {
            let expected: Vec<_> = slots.iter().map(|&slot| naive(&written, slot as usize, wanted)).collect();
            let held: Vec<u32> =
                slots.iter().zip(&expected).filter(|(_, points)| !points.is_empty()).map(|(&slot, _)| slot).collect();
            let missing: Vec<u32> = slots.iter().copied().filter(|slot| !held.contains(slot)).collect();
            prop_assert_eq!(own.without(&slots, wanted), missing.clone(), "what there is not, by the writer");
            prop_assert_eq!(received.without(&slots, wanted), missing, "what there is not, by a receiver");
            prop_assert_eq!(own.view(&slots, wanted).held(), held, "what there is");
            prop_assert_eq!(read(&own, &slots, wanted), expected.clone(), "by the writer");
            prop_assert_eq!(read(&received, &slots, wanted), expected, "by a receiver");
        }
        let times = (written.iter().map(|row| row.0).min().expect("some"), written.iter().map(|row| row.0).max().expect("some"));
        prop_assert_eq!((own.times(), received.times()), (Some(times), Some(times)));
    }

    /// What waits for its base is bounded: beyond that it is told, and nothing else suffers.
    #[test]
    fn rows_without_room_are_counted(room in 0usize..200) {
        let (mut own, mut body) = (Rows::bounded(SLOTS, None), Vec::new());
        for at in 0..60u32 {
            let cells = vec![Cell::Value(Number::from_f64(f64::from(at))); SLOTS];
            let next = NextRow { keyframe: false, layout: 0, timestamp: i64::from(at), cells: &cells, changed: None };
            own.append(u64::from(at), next, Origin { seq: 1, row: at }, &mut body);
        }
        let (mut rows, mut left, mut applied) = (Rows::bounded(SLOTS, None), room, Applied::default());
        for (at, raw) in (0..).zip(row::rows(&body)).skip(1) {
            rows.apply(&raw.expect("well formed"), TimeRange::ALL, Origin { seq: 1, row: at }, &mut left, &mut applied);
        }
        prop_assert_eq!(left + rows.waiting_bytes(), room);
        prop_assert!(applied.dropped_rows > 0 && applied.samples == 0);
    }
}
