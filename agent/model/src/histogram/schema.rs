//! Which buckets a histogram has.

use std::sync::Arc;

use super::bounds;

/// The schema number of histograms with custom buckets.
pub const CUSTOM_SCHEMA: i32 = -53;

/// How finely an exponential histogram divides a power of two: into 2^n buckets, n from -4 to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Resolution(i8);

impl Resolution {
    /// One bucket for 16 powers of two.
    pub const COARSEST: i32 = -4;
    /// 256 buckets for one power of two.
    pub const FINEST: i32 = 8;
    /// Finer schemas that are known, and reduced to the finest one on reading.
    pub const FINEST_RESERVED: i32 = 52;

    /// The resolution of a schema number, if it is one.
    #[must_use]
    pub fn new(schema: i32) -> Option<Self> {
        let number = i8::try_from(schema).ok()?;
        (Self::COARSEST..=Self::FINEST).contains(&schema).then_some(Self(number))
    }

    /// The schema number.
    #[must_use]
    pub const fn number(self) -> i32 {
        self.0 as i32
    }
}

/// Where a histogram's buckets lie.
#[derive(Clone, Debug)]
pub enum Schema {
    /// Bucket `i` ends at 2^(i·2^-n).
    Exponential(Resolution),
    /// Bucket `i` ends at the i-th bound; one more ends at infinity. Schema number -53.
    Custom(Arc<[f64]>),
}

impl Schema {
    /// The number that Prometheus knows the schema by.
    #[must_use]
    pub fn number(&self) -> i32 {
        match self {
            Self::Exponential(resolution) => resolution.number(),
            Self::Custom(_) => CUSTOM_SCHEMA,
        }
    }

    /// The upper bound of bucket `index`, on the positive side.
    #[must_use]
    pub fn bound(&self, index: i32) -> f64 {
        match self {
            Self::Exponential(resolution) => bounds::exponential(index, *resolution),
            Self::Custom(bounds) => bounds::custom(index, bounds),
        }
    }
}

impl Default for Schema {
    fn default() -> Self {
        Self::Exponential(Resolution(0))
    }
}

/// Equal when the buckets are.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exponential(one), Self::Exponential(two)) => one == two,
            (Self::Custom(one), Self::Custom(two)) => Arc::ptr_eq(one, two) || one == two,
            _ => false,
        }
    }
}

/// The bucket that takes what bucket `index` held, `halvings` schemas coarser.
pub(super) fn coarser(index: i32, halvings: u32) -> i32 {
    let moved = (i64::from(index) - 1) >> halvings.min(63);
    i32::try_from(moved + 1).unwrap_or(index)
}
