//! Rows come back bit for bit, and wrong bytes are errors, not panics.

use proptest::prelude::*;
use storage::RowMark;

use super::*;

fn any_cell() -> impl Strategy<Value = Cell> {
    let value = |value: f64| Cell::Value(Number::from_f64(value));
    prop_oneof![
        Just(Cell::Absent),
        Just(Cell::Stale),
        any::<u64>().prop_map(move |bits| value(f64::from_bits(bits))),
        (-1_000i64..1_000).prop_map(move |whole| value(whole as f64)),
        (-100_000i64..100_000, 0i32..6).prop_map(move |(m, e)| value(m as f64 / 10f64.powi(e))),
        (any::<i64>(), any::<u8>()).prop_map(|(m, e)| {
            let mantissa = m % (Number::MANTISSA_MAX + 1);
            Cell::Value(Number::Decimal { mantissa, exponent: e % (Number::EXPONENT_MAX + 1) })
        }),
        prop::sample::select(vec![
            0.0,
            -0.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            9_007_199_254_740_992.0,
            -9_007_199_254_740_992.0,
            9_007_199_254_740_993.0,
            f64::from_bits(model::STALE_NAN_BITS),
            f64::from_bits(0xfff8_0000_0000_0001),
        ])
        .prop_map(value),
    ]
}

fn any_rows() -> impl Strategy<Value = Vec<(bool, i64, Vec<Cell>)>> {
    (0usize..20).prop_flat_map(|slots| {
        let row = (any::<bool>(), -1_000_000i64..1_000_000, prop::collection::vec(any_cell(), slots));
        prop::collection::vec(row, 1..12)
    })
}

fn bits(cell: Cell) -> (u8, u64) {
    match cell {
        Cell::Absent => (0, 0),
        Cell::Stale => (1, 0),
        Cell::Value(number) => (2, number.to_bits()),
    }
}

fn encode(input: &[(bool, i64, Vec<Cell>)]) -> Vec<u8> {
    let mut state = RowState::empty(input[0].2.len());
    let mut body = Vec::new();
    for (at, (keyframe, timestamp, cells)) in input.iter().enumerate() {
        state.encode_next(at == 0 || *keyframe, 0, *timestamp, cells, None, &mut body);
    }
    body
}

/// Decodes as far as the bytes go.
fn decode_all(body: &[u8], slots: usize) -> Result<Vec<RowState>, Malformed> {
    let mut out: Vec<RowState> = Vec::new();
    for row in rows(body) {
        let row = row?;
        check_cells(row.cells, slots)?;
        let base = match row.base {
            None => None,
            Some(number) => {
                let base = out.iter().rev().find(|state| state.number == number).cloned();
                Some(base.ok_or(Malformed("no base"))?)
            }
        };
        out.push(decode(base, row.number, row.time, row.cells, slots)?);
    }
    Ok(out)
}

proptest! {
    #[test]
    fn rows_come_back_bit_for_bit(input in any_rows()) {
        let decoded = decode_all(&encode(&input), input[0].2.len()).expect("decodes");
        prop_assert_eq!(decoded.len(), input.len());
        for (row, (_, timestamp, cells)) in decoded.iter().zip(&input) {
            prop_assert_eq!(row.timestamp, *timestamp);
            let found: Vec<_> = row.slots.iter().map(|slot| bits(slot.cell())).collect();
            let written: Vec<_> = cells.iter().map(|&cell| bits(cell)).collect();
            prop_assert_eq!(found, written);
        }
    }

    /// Whoever knows what changed writes the same bytes as one who looks at everything.
    #[test]
    fn told_changes_are_those_that_are_found(input in any_rows(), more: u64) {
        let slots = input[0].2.len();
        let (mut told, mut found) = (RowState::empty(slots), RowState::empty(slots));
        let (mut body, mut whole) = (Vec::new(), Vec::new());
        let mut before = vec![Cell::Absent; slots];
        for (at, (keyframe, timestamp, cells)) in input.iter().enumerate() {
            let differ = |slot: &usize| before[*slot] != cells[*slot] || more >> slot & 1 == 1;
            let bits = [(0..slots).filter(differ).fold(0, |bits, slot| bits | 1 << slot)];
            let changes = Changes { since: RowMark::new(1, at as u64), slots: &bits };
            let keyframe = at == 0 || *keyframe;
            let one = told.encode_next(keyframe, 0, *timestamp, cells, Some(changes), &mut body);
            prop_assert_eq!(one, found.encode_next(keyframe, 0, *timestamp, cells, None, &mut whole));
            prop_assert_eq!(&told, &found);
            before.clone_from(cells);
        }
        prop_assert_eq!(body, whole);
    }

    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), slots in 0usize..40) {
        let _ = decode_all(&body, slots);
    }

    #[test]
    fn damaged_bodies_never_panic(
        input in any_rows(), slots in 0usize..40, at: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut body = encode(&input);
        let place = at.index(body.len());
        body[place] = byte;
        body.truncate(cut.index(body.len() + 1));
        let _ = decode_all(&body, slots);
        let _ = decode_all(&body, input[0].2.len());
    }
}

/// The worked example of FORMAT.md.
#[test]
fn the_worked_example() {
    let number = |value| Cell::Value(Number::from_f64(value));
    let mut state = RowState::empty(3);
    let mut body = Vec::new();
    state.encode_next(true, 0, 1_000, &[number(5.0), number(1.5), Cell::Absent], None, &mut body);
    state.encode_next(false, 0, 16_000, &[number(7.0), number(1.5), Cell::Stale], None, &mut body);
    let first = [0x0b, 0, 1, 0, 0xd0, 0x0f, 0b011, 1, 1, 4, 0x1e, 0x0a];
    let second = [0x0b, 0, 2, 1, 0xb0, 0xea, 0x01, 0b101, 1, 2, 1, 0x04];
    assert_eq!(body, [first, second].concat());
}
