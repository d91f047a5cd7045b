//! Experimental parts of the language: off unless the process was started with Prometheus's flag for them.

use std::sync::atomic::{AtomicU8, Ordering};

/// Which experimental parts queries may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `promql-experimental-functions`: functions and aggregations that may still change.
    pub experimental_functions: bool,
    /// `promql-extended-range-selectors`: `anchored` and `smoothed`.
    pub extended_range_selectors: bool,
    /// `promql-binop-fill-modifiers`: `fill`, `fill_left` and `fill_right`.
    pub fill_modifiers: bool,
}

/// What [`Features::enable`] was told; one bit a field.
static ENABLED: AtomicU8 = AtomicU8::new(0);

impl Features {
    /// All of them.
    pub const ALL: Self =
        Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };

    /// Makes these the ones that [`parse`](crate::parse) knows, for the whole process: flags are read once, at
    /// its start.
    pub fn enable(self) {
        let bit = |on: bool, bit: u8| if on { bit } else { 0 };
        let bits = bit(self.experimental_functions, 1)
            | bit(self.extended_range_selectors, 2)
            | bit(self.fill_modifiers, 4);
        ENABLED.store(bits, Ordering::Relaxed);
    }

    /// Those that the process was started with.
    #[must_use]
    pub fn enabled() -> Self {
        let bits = ENABLED.load(Ordering::Relaxed);
        Self {
            experimental_functions: bits & 1 != 0,
            extended_range_selectors: bits & 2 != 0,
            fill_modifiers: bits & 4 != 0,
        }
    }
}
