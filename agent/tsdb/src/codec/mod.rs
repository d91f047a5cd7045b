//! The codecs of the store: columns of one layout's rows as bytes and back. Pure functions over
//! slices; knows no files, no clock, no locks. The bytes are described in FORMAT.md.
//!
//! - A [`Tile`] is a run of up to 128 rows, each column readable without the others and without an
//!   entropy coder: what memory and young files hold.
//! - A [`Block`] is up to 64 columns of a whole window or day, each coded by itself, with a [`Summary`](storage::Summary)
//!   of each column that is read without decoding any. Its rows' timestamps are apart, once for all
//!   columns of a layout: [`encode_times`]; of a day so are the [`Summaries`] of its windows.
//!
//! Every cell comes back with the bits that went in: NaN payloads, minus zero and stale markers
//! included. A decimal may come back with another exponent, or as raw bits, where those name the
//! very same `f64`.
//!
//! Decoding is total: any bytes give a value or a [`CodecError`], and memory is bounded by what the
//! bytes can hold before it is taken.

mod bit_stream;
mod bits;
mod block;
mod form;
mod ints;
mod packing;
mod planes;
mod rans;
mod rest;
mod summaries;
mod summary;
mod tile;
mod times;

use model::STALE_NAN_BITS;
use storage::Cell;

pub use block::{Block, BlockBuilder, BlockReader, Columns};
pub use summaries::{Stretch, Summaries, decode_summaries, encode_summaries};
pub(crate) use tile::Part;
pub use tile::{Tile, TileBuilder};
pub use times::{decode_times, encode_times};

use crate::bytes::Malformed;

/// Bytes that no encoder wrote, or rows that no encoder takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{of}: {what}")]
pub struct CodecError {
    /// What was read or written.
    of: &'static str,
    /// What is wrong with it.
    what: String,
}

impl CodecError {
    pub(crate) fn new(of: &'static str, what: impl Into<String>) -> Self {
        Self { of, what: what.into() }
    }

    /// For `map_err`: what is malformed, and in which column.
    fn in_column(of: &'static str, column: usize) -> impl Fn(Malformed) -> Self {
        move |Malformed(what)| Self::new(of, format!("column {column}: {what}"))
    }
}

/// One column as a query reads it. Reuse one: decoding keeps its memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// One a row: the bits of an `f64`, [`STALE_NAN_BITS`] for a stale marker, 0 where absent.
    pub bits: Vec<u64>,
    /// Bit `row % 64` of word `row / 64` is set where the row is not absent; spare bits are 0.
    pub present: Vec<u64>,
}

impl Values {
    fn clear(&mut self) {
        self.bits.clear();
        self.present.clear();
    }

    fn set_all_present(&mut self, rows: usize) {
        self.present.resize(rows.div_ceil(64), u64::MAX);
        if let Some(last) = self.present.last_mut().filter(|_| !rows.is_multiple_of(64)) {
            *last = u64::MAX >> (64 - rows % 64);
        }
    }

    /// `rows` times the same cell, which is not absent.
    fn set_uniform(&mut self, cell: Cell, rows: usize) {
        self.set_all_present(rows);
        self.bits.resize(rows, cell_bits(cell));
    }

    /// Whether the row is not absent.
    #[must_use]
    pub fn has(&self, row: usize) -> bool {
        self.present.get(row / 64).is_some_and(|word| word & (1 << (row % 64)) != 0)
    }

    /// Rows and bits of all that is not absent.
    pub fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        self.bits.iter().copied().enumerate().filter(|(row, _)| self.has(*row))
    }
}

/// The bits as which a query sees a cell; 0 for an absent one.
fn cell_bits(cell: Cell) -> u64 {
    match cell {
        Cell::Absent => 0,
        Cell::Stale => STALE_NAN_BITS,
        Cell::Value(number) => number.to_bits(),
    }
}

/// `N` bytes at `at`, if there are so many.
fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
