//! Integers near zero at the cost of their entropy: each is a token, which says how long it is and how it begins,
//! and the bits that follow. Tokens are coded by how often each occurs in the column (range asymmetric numeral
//! system: Duda, 2014), the bits stand beside them as they are.
//!
//! The frequencies stand before the tokens, so a column is read without any other.

use super::bit_stream::{BitReader, BitWriter};
use super::packing::length;
use crate::bytes::{Malformed, Reader, put_varint};

/// Bits 0 and 1 of the head: how many bits after the highest one are part of the token.
const HEAD_TOP: u8 = 3;
/// The token says the sign; else it is the lowest bit, as of a zigzag.
const HEAD_SIGN: u8 = 1 << 2;
/// Frequencies are parts of 4,096 and not of 512.
const HEAD_FINE: u8 = 1 << 3;
const HEAD_UNKNOWN: u8 = !(HEAD_TOP | HEAD_SIGN | HEAD_FINE);
const SCALES: [u32; 2] = [9, 12];
/// From so many integers on frequencies are fine.
const FINE_FROM: usize = 1_024;
/// The state is from here on to 2^32.
const STATE_MIN: u32 = 1 << 16;
/// Tokens that there are: of 65 lengths with 3 bits each, and the sign.
const TOKENS: usize = 2 * 8 * 65;
/// Bits that a token costs before the first integer, about.
const TOKEN_COST: f64 = 9.0;

/// How integers are told by tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    /// Bits after the highest one that are part of the token.
    top: u32,
    sign: bool,
}

/// An integer as token and following bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Parts {
    token: u32,
    bits: u64,
    count: u32,
}

impl Model {
    /// By lengths alone.
    pub(super) const PLAIN: Self = Self { top: 0, sign: false };

    fn from_head(head: u8) -> Self {
        Self { top: u32::from(head & HEAD_TOP), sign: head & HEAD_SIGN != 0 }
    }

    fn head(self) -> u8 {
        self.top as u8 | if self.sign { HEAD_SIGN } else { 0 }
    }

    #[inline]
    fn split(self, int: i64) -> Parts {
        let value = if self.sign { int.unsigned_abs() } else { ((int << 1) ^ (int >> 63)) as u64 };
        let long = length(value);
        // The highest bit is set: it need not be told.
        let below = long.saturating_sub(1);
        let top = self.top.min(below);
        let count = below - top;
        let head = if top == 0 { 0 } else { (value >> count) as u32 & ((1 << top) - 1) };
        let negative = u32::from(self.sign && int < 0);
        let token = ((long << self.top | head) << 1) | negative;
        Parts { token, bits: value & ((1u64 << count) - 1), count }
    }

    /// Of a token: the integer without its following bits, how many these are, and whether it is negative.
    fn begin(self, token: u32) -> Option<(u64, u32, bool)> {
        let negative = token & 1 == 1;
        let (long, head) = (token >> 1 >> self.top, token >> 1 & ((1 << self.top) - 1));
        let below = long.saturating_sub(1);
        let top = self.top.min(below);
        if long > 64 || head >> top != 0 || (negative && !self.sign) {
            return None;
        }
        let count = below - top;
        let value = if long == 0 { 0 } else { (1u64 << top | u64::from(head)) << count };
        Some((value, count, negative))
    }

    #[inline]
    fn join(self, value: u64, negative: bool) -> i64 {
        match (self.sign, negative) {
            (false, _) => ((value >> 1) as i64) ^ -((value & 1) as i64),
            (true, false) => value as i64,
            (true, true) => (value as i64).wrapping_neg(),
        }
    }
}

/// Tokens and what each of them is of the whole, 2^`scale`.
#[derive(Debug, Default)]
struct Table {
    scale: u32,
    /// In order of token.
    tokens: Vec<u32>,
    frequencies: Vec<u32>,
}

impl Table {
    /// From how often each token occurs.
    fn of(tokens: impl Iterator<Item = u32>, counts: &[u32], total: usize, scale: u32) -> Option<Self> {
        let whole = 1u64 << scale;
        let part = |count: &u32| (u64::from(*count) * whole / total as u64).max(1) as u32;
        let mut table =
            Self { scale, tokens: tokens.collect(), frequencies: counts.iter().map(part).collect() };
        if table.tokens.len() as u64 > whole / 2 {
            return None;
        }
        let mut sum: u64 = table.frequencies.iter().map(|one| u64::from(*one)).sum();
        while sum != whole {
            let largest = table.frequencies.iter_mut().max_by_key(|one| **one)?;
            if sum < whole {
                *largest += (whole - sum) as u32;
                sum = whole;
            } else {
                let less = (sum - whole).min(u64::from(*largest) / 2);
                *largest -= less as u32;
                sum -= less;
            }
        }
        Some(table)
    }

    fn put(&self, bits: &mut BitWriter) {
        bits.put_gamma(self.tokens.len() as u64);
        let mut next = 0;
        for (at, (token, frequency)) in self.tokens.iter().zip(&self.frequencies).enumerate() {
            bits.put_gamma(u64::from(token - next) + 1);
            next = token + 1;
            if at + 1 < self.tokens.len() {
                bits.put_gamma(u64::from(*frequency));
            }
        }
    }

    fn read(bits: &mut BitReader<'_>, scale: u32) -> Result<Self, Malformed> {
        let count = bits.gamma()?;
        if count > 1 << scale {
            return Err(Malformed("more tokens than there are"));
        }
        let mut table = Self { scale, ..Self::default() };
        let (mut next, mut left) = (0u64, 1u64 << scale);
        for at in 0..count {
            let token = next + bits.gamma()? - 1;
            if token >= TOKENS as u64 {
                return Err(Malformed("a token that there is not"));
            }
            next = token + 1;
            let frequency = if at + 1 < count { bits.gamma()? } else { left };
            left = left.checked_sub(frequency).ok_or(Malformed("frequencies over the whole"))?;
            if frequency == 0 {
                return Err(Malformed("a token that does not occur"));
            }
            table.tokens.push(token as u32);
            table.frequencies.push(frequency as u32);
        }
        Ok(table)
    }

    /// What is before each token.
    fn starts(&self) -> Vec<u32> {
        let mut start = 0;
        let before = |one: &u32| {
            let here = start;
            start += one;
            here
        };
        self.frequencies.iter().map(before).collect()
    }
}

/// What encoding needs for a moment.
#[derive(Debug, Default)]
pub(super) struct Coder {
    /// Of each token, 0 between uses.
    counts: Vec<u32>,
    used: Vec<u32>,
    words: Vec<u16>,
}

impl Coder {
    /// Appends some integers, told by the model that is said to be best for them.
    pub(super) fn put(&mut self, model: Model, ints: &[i64], out: &mut Vec<u8>) {
        let fine = ints.len() >= FINE_FROM;
        let scale = SCALES[usize::from(fine)];
        let told = self.table(model, ints, scale).map(|table| (model, table));
        // Lengths alone are never too many.
        let plain = Model::PLAIN;
        let Some((model, table)) = told.or_else(|| Some((plain, self.table(plain, ints, scale)?))) else {
            return;
        };
        out.push(model.head() | if fine { HEAD_FINE } else { 0 });
        let mut bits = BitWriter::default();
        table.put(&mut bits);
        bits.finish(out);
        if table.tokens.len() > 1 {
            self.put_tokens(model, &table, ints, out);
        }
        let mut bits = BitWriter::default();
        for int in ints {
            let parts = model.split(*int);
            bits.put(parts.bits, parts.count);
        }
        bits.finish(out);
    }

    /// A model's table, where its tokens are not too many.
    fn table(&mut self, model: Model, ints: &[i64], scale: u32) -> Option<Table> {
        self.counts.resize(TOKENS, 0);
        for int in ints {
            let token = model.split(*int).token;
            let count = &mut self.counts[token as usize];
            if *count == 0 {
                self.used.push(token);
            }
            *count += 1;
        }
        self.used.sort_unstable();
        let counts: Vec<u32> =
            self.used.iter().map(|token| std::mem::take(&mut self.counts[*token as usize])).collect();
        Table::of(self.used.drain(..), &counts, ints.len(), scale)
    }

    /// The last token first, as the reader takes them in order.
    fn put_tokens(&mut self, model: Model, table: &Table, ints: &[i64], out: &mut Vec<u8>) {
        let starts = table.starts();
        for (at, token) in (0..).zip(&table.tokens) {
            self.counts[*token as usize] = at;
        }
        self.words.clear();
        let mut state = STATE_MIN;
        for int in ints.iter().rev() {
            let at = self.counts[model.split(*int).token as usize] as usize;
            let frequency = table.frequencies[at];
            if u64::from(state) >= u64::from(frequency) << (32 - table.scale) {
                self.words.push(state as u16);
                state >>= 16;
            }
            state = ((state / frequency) << table.scale) + state % frequency + starts[at];
        }
        table.tokens.iter().for_each(|token| self.counts[*token as usize] = 0);
        put_varint(out, self.words.len() as u64);
        out.extend_from_slice(&state.to_le_bytes());
        for word in self.words.iter().rev() {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
}

/// How often each token of the finest model occurs among some integers.
#[derive(Debug, Default)]
pub(super) struct Census {
    counts: Vec<u32>,
    used: Vec<u32>,
}

const FINEST: Model = Model { top: HEAD_TOP as u32, sign: true };

impl Census {
    /// The model that is best for some integers, and what they cost by it in bits, about.
    pub(super) fn best(&mut self, ints: impl Iterator<Item = i64>) -> (f64, Model) {
        self.counts.resize(TOKENS, 0);
        let (mut total, mut following) = (0u64, 0u64);
        for int in ints {
            let parts = FINEST.split(int);
            let count = &mut self.counts[parts.token as usize];
            if *count == 0 {
                self.used.push(parts.token);
            }
            *count += 1;
            total += 1;
            following += u64::from(parts.count);
        }
        self.used.sort_unstable();
        let mut best = self.merged(0, total as f64);
        for top in 1..=FINEST.top {
            let other = self.merged(top, total as f64);
            if other.0 < best.0 {
                best = other;
            }
        }
        self.used.drain(..).for_each(|token| self.counts[token as usize] = 0);
        (best.0 + following as f64, best.1)
    }

    /// The cost of tokens with so many bits, and of those bits that are in the finest ones beyond these.
    fn merged(&self, top: u32, total: f64) -> (f64, Model) {
        // With the sign in the token, and with it beside: bits of tokens, and tokens.
        let (mut signed, mut plain, mut beside) = (0.0, 0.0, 0.0);
        let own = |count: f64| if count > 0.0 { count * (total / count).log2() + TOKEN_COST } else { 0.0 };
        let (mut group, mut counts) = (None, [0.0; 2]);
        for &token in &self.used {
            let count = f64::from(self.counts[token as usize]);
            let (long, head) = (token >> 1 >> FINEST.top, token >> 1 & ((1 << FINEST.top) - 1));
            let below = long.saturating_sub(1);
            let less = FINEST.top.min(below) - top.min(below);
            beside += count * f64::from(less);
            plain += if long > 0 { count } else { 0.0 };
            let here = Some((long, head >> less));
            if group != here {
                signed += own(counts[0]) + own(counts[1]);
                plain += own(counts[0] + counts[1]);
                (group, counts) = (here, [0.0; 2]);
            }
            counts[(token & 1) as usize] += count;
        }
        signed += own(counts[0]) + own(counts[1]);
        plain += own(counts[0] + counts[1]);
        (beside + f64::min(signed, plain), Model { top, sign: signed < plain })
    }
}

/// A token as it is decoded.
#[derive(Clone, Copy, Debug, Default)]
struct Decoded {
    value: u64,
    count: u32,
    negative: bool,
    frequency: u32,
    start: u32,
}

/// Replaces `out` by `count` integers, which [`Coder::put`] wrote as these bytes.
pub(super) fn read(bytes: &[u8], count: usize, out: &mut Vec<i64>) -> Result<(), Malformed> {
    out.clear();
    let (&head, rest) = bytes.split_first().ok_or(Malformed("a column ends too early"))?;
    if head & HEAD_UNKNOWN != 0 {
        return Err(Malformed("an unknown head of integers"));
    }
    let model = Model::from_head(head);
    let mut bits = BitReader::new(rest);
    let table = Table::read(&mut bits, SCALES[usize::from(head & HEAD_FINE != 0)])?;
    let mut rest = bits.rest();
    let begin = |((token, frequency), start): ((&u32, &u32), u32)| {
        let (value, count, negative) = model.begin(*token).ok_or(Malformed("a token that there is not"))?;
        Ok(Decoded { value, count, negative, frequency: *frequency, start })
    };
    let all = table.tokens.iter().zip(&table.frequencies).zip(table.starts());
    let tokens = all.map(begin).collect::<Result<Vec<_>, Malformed>>()?;
    out.reserve_exact(count);
    if let [only] = tokens.as_slice() {
        let mut bits = BitReader::new(rest);
        for _ in 0..count {
            out.push(model.join(only.value | bits.take(only.count)?, only.negative));
        }
        return if bits.rest().is_empty() { Ok(()) } else { Err(Malformed("bits after the last integer")) };
    }
    let mut slots = vec![0u16; 1 << table.scale];
    for (at, token) in (0..).zip(&tokens) {
        slots[token.start as usize..(token.start + token.frequency) as usize].fill(at);
    }
    let mut reader = Reader::new(rest);
    let words = reader.count()?;
    let state = reader.take(4)?;
    let mut state = u32::from_le_bytes([state[0], state[1], state[2], state[3]]);
    let mut words = reader.take(words.saturating_mul(2))?.chunks_exact(2);
    rest = reader.rest();
    let mut bits = BitReader::new(rest);
    let mask = (1u32 << table.scale) - 1;
    for _ in 0..count {
        let slot = state & mask;
        // Every slot is some token's.
        let token = &tokens[usize::from(slots[slot as usize])];
        state = token.frequency.wrapping_mul(state >> table.scale).wrapping_add(slot - token.start);
        if state < STATE_MIN
            && let Some(word) = words.next()
        {
            state = state << 16 | u32::from(u16::from_le_bytes([word[0], word[1]]));
        }
        out.push(model.join(token.value | bits.take(token.count)?, token.negative));
    }
    if state == STATE_MIN && words.next().is_none() && bits.rest().is_empty() {
        Ok(())
    } else {
        Err(Malformed("the integers do not end where they should"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(ints: &[i64]) -> usize {
        let mut bytes = Vec::new();
        let (_, model) = Census::default().best(ints.iter().copied());
        Coder::default().put(model, ints, &mut bytes);
        let mut read_back = Vec::new();
        read(&bytes, ints.len(), &mut read_back).expect("whole");
        assert_eq!(read_back, ints);
        bytes.len()
    }

    #[test]
    fn any_integer_is_its_parts() {
        for top in 0..=3 {
            for sign in [false, true] {
                let model = Model { top, sign };
                for int in [0, 1, -1, 2, -2, 3, 7, -8, 1_000, -1_001, i64::MAX, i64::MIN, i64::MIN + 1] {
                    let parts = model.split(int);
                    assert!((parts.token as usize) < TOKENS, "{model:?} {int}");
                    let (value, count, negative) = model.begin(parts.token).expect("a token");
                    assert_eq!(
                        (count, model.join(value | parts.bits, negative)),
                        (parts.count, int),
                        "{model:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_rare_costs_little_and_noise_its_bits() {
        let mut sparse = vec![0; 480];
        (0..480).step_by(97).for_each(|at| sparse[at] = 5);
        assert!(check(&sparse) < 20);
        assert!(check(&[7; 480]) < 8);
        let noise: Vec<i64> = (0..5_760i64).map(|at| (at * 2_654_435_761 % 65_536) - 32_768).collect();
        assert!(check(&noise) < 5_760 * 2 + 60);
    }

    proptest! {
        #[test]
        fn integers_come_back(
            ints in prop_oneof![
                prop::collection::vec(-3i64..3, 1..700),
                prop::collection::vec(any::<i64>(), 1..700),
                prop::collection::vec((0u32..64, any::<i64>()).prop_map(|(shift, int)| int >> shift), 1..2_500),
            ],
        ) {
            check(&ints);
        }

        #[test]
        fn other_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..2_000) {
            let mut out = Vec::new();
            let _ = read(&bytes, count, &mut out);
            prop_assert!(out.len() <= count);
        }
    }
}
