//! Native histograms as columns: a histogram's numbers stand side by side in a row, each in a slot that says
//! which number it is, so that whatever carries columns carries histograms, bit by bit.

mod columns;
mod part;
mod series;

#[cfg(test)]
mod tests;

pub use columns::{Assembler, fill};
pub use part::{Counted, HistogramShape, Part, PartError};
pub use series::HistogramColumns;
