//! What stands in a generation: its groups, and of each when its rows were and where they came from.

use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};
use crate::codec::{decode_times, encode_times};
use crate::row::RowState;
use crate::rows::Tail;
use crate::run::At;
use crate::sealed::error::SealedError;
use crate::sealed::manifest::small;

/// A generation's groups in order of number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index(pub(crate) Vec<Entry>);

/// One group of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) group: u32,
    /// Parts that its rows are in.
    pub(crate) parts: u16,
    /// Time of its first row.
    pub(crate) first: i64,
    /// Time of its last row.
    pub(crate) last: i64,
    /// Whether rows may still build on some of it.
    pub(crate) tails: bool,
    /// In a day's index: which of the day's windows it has rows in, from the lowest bit on.
    pub(crate) windows: u16,
}

impl Index {
    pub(crate) fn find(&self, group: u32) -> Option<&Entry> {
        self.0.binary_search_by_key(&group, |entry| entry.group).ok().map(|at| &self.0[at])
    }

    /// Of a generation of the window, or of the day, that starts at `window`.
    pub(crate) fn put(&self, window: i64, is_day: bool) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.0.len() as u64);
        let mut before = 0;
        for entry in &self.0 {
            put_varint(&mut out, u64::from(entry.group - before));
            before = entry.group;
            put_varint(&mut out, u64::from(entry.parts) << 1 | u64::from(entry.tails));
            if is_day {
                put_varint(&mut out, u64::from(entry.windows));
            }
            put_zigzag(&mut out, entry.first.wrapping_sub(window));
            put_zigzag(&mut out, entry.last.wrapping_sub(entry.first));
        }
        checked(out)
    }

    /// What `put` wrote for the same.
    pub(crate) fn read(window: i64, is_day: bool, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(unchecked(bytes)?);
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..reader.count()? {
            let step = small(&mut reader)?;
            let before = entries.last().map_or(0, |entry| entry.group);
            let group = before.checked_add(step).filter(|_| step > 0);
            let group = group.ok_or(Malformed("groups out of order"))?;
            let parts = reader.varint()?;
            let tails = parts & 1 == 1;
            let parts = u16::try_from(parts >> 1).map_err(|_| Malformed("too many parts"))?;
            let windows = if is_day { reader.varint()? } else { 0 };
            let windows = u16::try_from(windows).map_err(|_| Malformed("more windows than a day has"))?;
            let first = window.wrapping_add(reader.zigzag()?);
            let last = first.wrapping_add(reader.zigzag()?);
            entries.push(Entry { group, parts, first, last, tails, windows });
        }
        if reader.is_empty() { Ok(Self(entries)) } else { Err(Malformed("bytes after the last group")) }
    }
}

/// When rows were, and where they came from.
pub(crate) fn put_rows(rows: &[At]) -> Result<Vec<u8>, SealedError> {
    let column = |value: fn(&At) -> i64| encode_times(&rows.iter().map(value).collect::<Vec<_>>());
    let (times, numbers) = (column(|at| at.timestamp)?, column(|at| at.sequence.0 as i64)?);
    let places = column(|at| i64::from(at.sequence.1))?;
    let mut out = Vec::with_capacity(8 + times.len() + numbers.len() + places.len());
    out.extend_from_slice(&(times.len() as u32).to_le_bytes());
    out.extend_from_slice(&(numbers.len() as u32).to_le_bytes());
    for part in [times, numbers, places] {
        out.extend_from_slice(&part);
    }
    Ok(out)
}

pub(crate) fn read_rows(bytes: &[u8]) -> Result<Vec<At>, SealedError> {
    let early = SealedError::Malformed("the rows end too early");
    let Some((head, rest)) = bytes.split_at_checked(8) else { return Err(early) };
    let length =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let Some((times, rest)) = rest.split_at_checked(length(0)) else { return Err(early) };
    let Some((numbers, places)) = rest.split_at_checked(length(4)) else { return Err(early) };
    let column = |bytes: &[u8]| {
        let mut out = Vec::new();
        decode_times(bytes, &mut out).map(|()| out)
    };
    let (times, numbers, places) = (column(times)?, column(numbers)?, column(places)?);
    if times.len() != numbers.len() || times.len() != places.len() {
        return Err(SealedError::Malformed("the rows differ in number"));
    }
    let place =
        |value: i64| u32::try_from(value).map_err(|_| SealedError::Malformed("a row's place out of range"));
    let mut rows = Vec::with_capacity(times.len());
    for ((timestamp, number), at) in times.into_iter().zip(numbers).zip(places) {
        rows.push(At { timestamp, sequence: (number as u64, place(at)?) });
    }
    Ok(rows)
}

/// Rows that others may still build on.
pub(crate) fn put_tails(tails: &[Tail]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, tails.len() as u64);
    for tail in tails {
        put_varint(&mut out, tail.row.number);
        put_zigzag(&mut out, tail.row.timestamp);
        put_varint(&mut out, tail.sequence.0);
        put_varint(&mut out, u64::from(tail.sequence.1));
        for changes in tail.row.snapshot() {
            put_varint(&mut out, changes.len() as u64);
            out.extend_from_slice(&changes);
        }
    }
    checked(out)
}

pub(crate) fn read_tails(bytes: &[u8], slots: usize) -> Result<Vec<Tail>, Malformed> {
    let mut reader = Reader::new(unchecked(bytes)?);
    let mut tails = Vec::new();
    for _ in 0..reader.count()? {
        let mut row = RowState::empty(slots);
        row.number = reader.varint()?;
        row.timestamp = reader.zigzag()?;
        let sequence = (reader.varint()?, small(&mut reader)?);
        for _ in 0..2 {
            let length = reader.count()?;
            row.apply(reader.take(length)?)?;
        }
        tails.push(Tail { row, sequence });
    }
    if reader.is_empty() { Ok(tails) } else { Err(Malformed("bytes after the last row")) }
}

/// The same of each of a day's windows that has any: which window, and its rows.
pub(crate) fn put_day_tails(windows: &[(u8, Vec<Tail>)]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, windows.len() as u64);
    for (window, tails) in windows {
        let tails = put_tails(tails);
        out.push(*window);
        put_varint(&mut out, tails.len() as u64);
        out.extend_from_slice(&tails);
    }
    checked(out)
}

pub(crate) fn read_day_tails(bytes: &[u8], slots: usize) -> Result<Vec<(u8, Vec<Tail>)>, Malformed> {
    let mut reader = Reader::new(unchecked(bytes)?);
    let mut windows = Vec::new();
    for _ in 0..reader.count()? {
        let window = reader.byte()?;
        let length = reader.count()?;
        windows.push((window, read_tails(reader.take(length)?, slots)?));
    }
    if reader.is_empty() { Ok(windows) } else { Err(Malformed("bytes after the last window")) }
}

/// Bytes with their CRC32C behind them.
fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn unchecked(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let (body, check) = bytes.split_last_chunk::<4>().ok_or(Malformed("they end too early"))?;
    let holds = crc32c::crc32c(body) == u32::from_le_bytes(*check);
    if holds { Ok(body) } else { Err(Malformed("the checksum does not match")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use storage::{Cell, Number};

    use super::*;

    proptest! {
        #[test]
        fn rows_come_back(all in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u32>()), 1..300)) {
            let rows: Vec<At> =
                all.iter().map(|&(timestamp, seq, row)| At { timestamp, sequence: (seq, row) }).collect();
            let read = read_rows(&put_rows(&rows).expect("encodes")).expect("reads");
            let plain = |rows: &[At]| rows.iter().map(|at| (at.timestamp, at.sequence.0, at.sequence.1)).collect::<Vec<_>>();
            prop_assert_eq!(plain(&read), all);
        }

        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let whole = checked(bytes.clone());
            let _ = (Index::read(0, false, &whole), Index::read(0, true, &whole));
            let _ = (read_tails(&whole, 3), read_day_tails(&whole, 3), read_rows(&bytes));
        }
    }

    #[test]
    fn an_index_and_tails_come_back() {
        for is_day in [false, true] {
            let windows = if is_day { 0x803 } else { 0 };
            let entry = |group, parts, tails| Entry {
                group,
                parts,
                first: 7_200_001,
                last: 9_000_000,
                tails,
                windows,
            };
            let index = Index(vec![entry(1, 1, false), entry(2, 3, true), entry(u32::MAX - 1, 1, true)]);
            assert_eq!(Index::read(7_200_000, is_day, &index.put(7_200_000, is_day)), Ok(index.clone()));
            assert_eq!(index.find(2), Some(&index.0[1]));
        }
        let mut row = RowState::empty(4);
        let value = |mantissa| Cell::Value(Number::Decimal { mantissa, exponent: 2 });
        row.encode_next(
            true,
            0,
            1_000,
            &[value(5), value(7), Cell::Stale, Cell::Absent],
            None,
            &mut Vec::new(),
        );
        row.encode_next(
            false,
            0,
            2_000,
            &[Cell::Absent, value(8), Cell::Stale, Cell::Value(Number::Raw(9))],
            None,
            &mut Vec::new(),
        );
        let tail = Tail { row, sequence: (77, 3) };
        let read = read_tails(&put_tails(std::slice::from_ref(&tail)), 4).expect("whole");
        assert_eq!((read[0].row.clone(), read[0].sequence), (tail.row.clone(), tail.sequence));
        let day = [(0, vec![tail]), (11, Vec::new())];
        let read = read_day_tails(&put_day_tails(&day), 4).expect("whole");
        assert_eq!(
            read.iter().map(|(window, tails)| (*window, tails.len())).collect::<Vec<_>>(),
            [(0, 1), (11, 0)]
        );
        assert_eq!(read[0].1[0].row, day[0].1[0].row);
    }
}
