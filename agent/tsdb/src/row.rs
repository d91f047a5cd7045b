//! Rows as frame bodies carry them (FORMAT.md): what changed against the row they build on.

use storage::{Cell, Changes, Number};

use crate::bytes::{Malformed, Reader, put_varint, put_zigzag};

/// One slot of a row, with what the next row's delta starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    kind: Kind,
    /// Of the last decimal.
    exponent: u8,
    /// The last decimal's mantissa; for [`Kind::Raw`] the bits.
    value: i64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Absent,
    Stale,
    Decimal,
    Raw,
}

impl Slot {
    /// What the slot says.
    pub(crate) fn cell(&self) -> Cell {
        match self.kind {
            Kind::Absent => Cell::Absent,
            Kind::Stale => Cell::Stale,
            Kind::Raw => Cell::Value(Number::Raw(self.value as u64)),
            Kind::Decimal => Cell::Value(Number::Decimal { mantissa: self.value, exponent: self.exponent }),
        }
    }

    /// The mantissa and exponent that a delta is added to.
    fn decimal(&self) -> (i64, u8) {
        if self.kind == Kind::Raw { (0, 0) } else { (self.value, self.exponent) }
    }

    /// The decimal that a delta is added to, as a cell that leads to remembering it.
    fn remembered(&self) -> Cell {
        match self.decimal() {
            (0, 0) => Cell::Absent,
            (mantissa, exponent) => Cell::Value(Number::Decimal { mantissa, exponent }),
        }
    }

    /// Whether it says just this already: what most slots of most rows do.
    fn says(&self, cell: Cell) -> bool {
        match cell {
            Cell::Absent => self.kind == Kind::Absent,
            Cell::Stale => self.kind == Kind::Stale,
            Cell::Value(Number::Raw(bits)) => self.kind == Kind::Raw && self.value == bits as i64,
            Cell::Value(Number::Decimal { mantissa, exponent }) => {
                self.kind == Kind::Decimal && self.value == mantissa && self.exponent == exponent
            }
        }
    }

    fn set(self, token: Token) -> Result<Self, Malformed> {
        let (mantissa, exponent) = self.decimal();
        let decimal = |mantissa: i64, exponent| {
            Number::decimal(mantissa, exponent)
                .map(|_| Self { kind: Kind::Decimal, exponent, value: mantissa })
                .ok_or(Malformed("a decimal out of range"))
        };
        match token {
            Token::Absent => Ok(Self { kind: Kind::Absent, exponent, value: mantissa }),
            Token::Stale => Ok(Self { kind: Kind::Stale, exponent, value: mantissa }),
            Token::Raw(bits) => Ok(Self { kind: Kind::Raw, exponent: 0, value: bits as i64 }),
            Token::Decimal(mantissa, exponent) => decimal(mantissa, exponent),
            Token::Delta(delta) => {
                decimal(mantissa.checked_add(delta).ok_or(Malformed("a decimal out of range"))?, exponent)
            }
        }
    }

    /// The token that turns this slot into one that says `cell`.
    fn token(&self, cell: Cell) -> Token {
        let (base, exponent) = self.decimal();
        match cell {
            Cell::Absent => Token::Absent,
            Cell::Stale => Token::Stale,
            Cell::Value(Number::Raw(bits)) => Token::Raw(bits),
            Cell::Value(Number::Decimal { mantissa, exponent: own }) => scaled(mantissa, own, exponent)
                .map_or(Token::Decimal(mantissa, own), |mantissa| Token::Delta(mantissa - base)),
        }
    }
}

/// What a row says of a slot that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Delta(i64),
    Absent,
    Stale,
    Raw(u64),
    Decimal(i64, u8),
}

const CODE_ABSENT: u8 = 0;
const CODE_STALE: u8 = 1;
const CODE_RAW: u8 = 2;
/// Codes from here on are exponents.
const CODE_DECIMAL: u8 = 3;

/// A whole row: what the next row of its group builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowState {
    /// The row's number in its group, from 1.
    pub(crate) number: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) timestamp: i64,
    /// One a slot.
    pub(crate) slots: Vec<Slot>,
}

impl RowState {
    /// What a group's first row builds on.
    pub(crate) fn empty(slots: usize) -> Self {
        Self { number: 0, timestamp: 0, slots: vec![Slot::default(); slots] }
    }

    /// Appends the next row to `out` and becomes that row; gives its changes. `cells` has one cell a slot; where
    /// it is known what `changed` since this row nothing else is looked at, except for a keyframe.
    pub(crate) fn encode_next(
        &mut self,
        keyframe: bool,
        layout: usize,
        timestamp: i64,
        cells: &[Cell],
        changed: Option<Changes<'_>>,
        out: &mut Vec<u8>,
    ) -> Box<[u8]> {
        if keyframe {
            self.reset();
        }
        let mut encoder = Encoder::new(self.slots.len());
        match changed.filter(|_| !keyframe) {
            Some(changed) => {
                for at in changed.iter() {
                    if let (Some(slot), Some(cell)) = (self.slots.get_mut(at), cells.get(at)) {
                        encoder.put(at, slot, *cell);
                    }
                }
            }
            None => encoder.put_all(&mut self.slots, cells),
        }
        let changes = encoder.finish();
        let mut row = Vec::with_capacity(40);
        put_varint(&mut row, layout as u64);
        put_varint(&mut row, self.number + 1);
        put_varint(&mut row, u64::from(!keyframe));
        let since = if keyframe { 0 } else { self.timestamp };
        put_zigzag(&mut row, timestamp.wrapping_sub(since));
        put_varint(out, (row.len() + changes.len()) as u64);
        out.extend_from_slice(&row);
        out.extend_from_slice(&changes);
        self.number += 1;
        self.timestamp = timestamp;
        changes
    }

    /// Goes back to what a keyframe builds on.
    pub(crate) fn reset(&mut self) {
        self.slots.fill(Slot::default());
    }

    /// Applies the changed cells of the next row.
    pub(crate) fn apply(&mut self, cells: &[u8]) -> Result<(), Malformed> {
        let slots = &mut self.slots;
        walk(cells, slots.len(), |at, token| {
            slots[at] = slots[at].set(token)?;
            Ok(())
        })
    }

    /// Changes that lead from a reset row to this one, to be applied one after the other: the decimals that
    /// slots remember, then what they say.
    pub(crate) fn snapshot(&self) -> [Box<[u8]>; 2] {
        let mut slots = vec![Slot::default(); self.slots.len()];
        let remembered: Vec<Cell> = self.slots.iter().map(Slot::remembered).collect();
        let said: Vec<Cell> = self.slots.iter().map(Slot::cell).collect();
        [encode_cells(&mut slots, &remembered), encode_cells(&mut slots, &said)]
    }
}

/// Brings `slots` to what `cells` say, and gives the changes as a row carries them.
fn encode_cells(slots: &mut [Slot], cells: &[Cell]) -> Box<[u8]> {
    let mut encoder = Encoder::new(slots.len());
    encoder.put_all(slots, cells);
    encoder.finish()
}

/// The changes of a row, slot by slot in order.
#[derive(Debug)]
struct Encoder {
    changed: Vec<u8>,
    escapes: Vec<u8>,
    escape_count: u64,
    /// The slot of the last escape.
    last: usize,
    deltas: Vec<u8>,
}

impl Encoder {
    fn new(slots: usize) -> Self {
        let changed = vec![0; slots.div_ceil(8)];
        // Room for what most rows have, so that it need not grow piece by piece.
        let deltas = Vec::with_capacity(slots / 2 + 16);
        Self { changed, escapes: Vec::new(), escape_count: 0, last: 0, deltas }
    }

    /// Brings all slots to what their cells say.
    fn put_all(&mut self, slots: &mut [Slot], cells: &[Cell]) {
        for (at, (slot, &cell)) in slots.iter_mut().zip(cells).enumerate() {
            self.put(at, slot, cell);
        }
    }

    /// Brings a slot to what its cell says.
    fn put(&mut self, at: usize, slot: &mut Slot, cell: Cell) {
        if slot.says(cell) {
            return;
        }
        let token = slot.token(cell);
        // Every token comes from a valid cell, so it can be applied.
        let Ok(next) = slot.set(token) else { return };
        if next == *slot {
            return;
        }
        *slot = next;
        self.changed[at / 8] |= 1 << (at % 8);
        if let Token::Delta(delta) = token {
            put_zigzag(&mut self.deltas, delta);
        } else {
            put_varint(&mut self.escapes, (at - self.last) as u64);
            put_escape(&mut self.escapes, token);
            (self.escape_count, self.last) = (self.escape_count + 1, at);
        }
    }

    fn finish(self) -> Box<[u8]> {
        let mut count = Vec::new();
        put_varint(&mut count, self.escape_count);
        [&self.changed[..], &count, &self.escapes, &self.deltas].concat().into()
    }
}

/// A row whose cells have not been decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawRow<'a> {
    /// Position in the frame's layout table.
    pub(crate) layout: usize,
    /// The row's number in its group.
    pub(crate) number: u64,
    /// The number of the row that it builds on; none for a keyframe.
    pub(crate) base: Option<u64>,
    /// Milliseconds since the base's, or since the Unix epoch in a keyframe.
    pub(crate) time: i64,
    /// Bitmap, escapes and deltas.
    pub(crate) cells: &'a [u8],
}

/// The rows of a frame body, in order; ends after the first error.
pub(crate) fn rows(body: &[u8]) -> impl Iterator<Item = Result<RawRow<'_>, Malformed>> {
    let mut reader = Reader::new(body);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let row = raw_row(&mut reader);
        if row.is_err() {
            reader = Reader::new(&[]);
        }
        Some(row)
    })
}

fn raw_row<'a>(reader: &mut Reader<'a>) -> Result<RawRow<'a>, Malformed> {
    let length = reader.count()?;
    let mut row = Reader::new(reader.take(length)?);
    let layout = usize::try_from(row.varint()?).map_err(|_| Malformed("a layout position out of range"))?;
    let number = row.varint()?;
    let distance = row.varint()?;
    if number == 0 || distance >= number {
        return Err(Malformed("a row number out of range"));
    }
    let base = (distance > 0).then(|| number - distance);
    Ok(RawRow { layout, number, base, time: row.zigzag()?, cells: row.rest() })
}

/// Whether the cells of a row are well formed for a layout of `slots` slots, whatever it builds on.
pub(crate) fn check_cells(cells: &[u8], slots: usize) -> Result<(), Malformed> {
    walk(cells, slots, |_, _| Ok(()))
}

/// The row that `number`, `time` and `cells` make of the row they build on.
pub(crate) fn decode(
    base: Option<RowState>,
    number: u64,
    time: i64,
    cells: &[u8],
    slots: usize,
) -> Result<RowState, Malformed> {
    // A bitmap shorter than the layout is refused before a row of that width is made.
    if cells.len() < slots.div_ceil(8) {
        return Err(Malformed("the bytes end too early"));
    }
    let mut row = base.unwrap_or_else(|| RowState::empty(slots));
    if row.slots.len() != slots {
        return Err(Malformed("the base has another width"));
    }
    row.timestamp = row.timestamp.checked_add(time).ok_or(Malformed("a time out of range"))?;
    row.number = number;
    walk(cells, slots, |at, token| {
        row.slots[at] = row.slots[at].set(token)?;
        Ok(())
    })?;
    Ok(row)
}

/// Gives every changed slot and its token, in order.
fn walk(
    cells: &[u8],
    slots: usize,
    mut visit: impl FnMut(usize, Token) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::new(cells);
    let changed = reader.take(slots.div_ceil(8))?;
    let is_changed = |at: usize| changed[at / 8] & (1 << (at % 8)) != 0;
    if (slots..changed.len() * 8).any(is_changed) {
        return Err(Malformed("a slot that the layout does not have"));
    }
    let mut escapes = Vec::new();
    let mut at = 0usize;
    for position in 0..reader.count()? {
        let gap = reader.varint()?;
        if position > 0 && gap == 0 {
            return Err(Malformed("a slot escaped twice"));
        }
        at = usize::try_from(gap)
            .ok()
            .and_then(|gap| at.checked_add(gap))
            .filter(|&at| at < slots && is_changed(at))
            .ok_or(Malformed("an escape for a slot that did not change"))?;
        escapes.push((at, escape(&mut reader)?));
    }
    let mut escapes = escapes.into_iter().peekable();
    for at in (0..slots).filter(|&at| is_changed(at)) {
        match escapes.next_if(|&(escaped, _)| escaped == at) {
            Some((_, token)) => visit(at, token)?,
            None => visit(at, Token::Delta(reader.zigzag()?))?,
        }
    }
    if reader.is_empty() { Ok(()) } else { Err(Malformed("bytes after the last cell")) }
}

fn put_escape(out: &mut Vec<u8>, token: Token) {
    match token {
        // Deltas are no escapes; the encoder never passes one.
        Token::Delta(_) | Token::Absent => out.push(CODE_ABSENT),
        Token::Stale => out.push(CODE_STALE),
        Token::Raw(bits) => {
            out.push(CODE_RAW);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Token::Decimal(mantissa, exponent) => {
            out.push(CODE_DECIMAL + exponent);
            put_zigzag(out, mantissa);
        }
    }
}

fn escape(reader: &mut Reader<'_>) -> Result<Token, Malformed> {
    match reader.byte()? {
        CODE_ABSENT => Ok(Token::Absent),
        CODE_STALE => Ok(Token::Stale),
        CODE_RAW => Ok(Token::Raw(reader.u64_le()?)),
        code if code - CODE_DECIMAL <= Number::EXPONENT_MAX => {
            Ok(Token::Decimal(reader.zigzag()?, code - CODE_DECIMAL))
        }
        _ => Err(Malformed("an unknown escape")),
    }
}

/// `mantissa / 10^from` as a mantissa over `10^to`, where that is in range.
fn scaled(mantissa: i64, from: u8, to: u8) -> Option<i64> {
    let scale = 10i64.checked_pow(u32::from(to.checked_sub(from)?))?;
    let mantissa = mantissa.checked_mul(scale)?;
    Number::decimal(mantissa, to).map(|_| mantissa)
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
