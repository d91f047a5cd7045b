//! Bytes that one query may hold at a time: whoever keeps data for it charges them, and gives them back by
//! dropping the charge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::QueryError;

/// What a query may hold. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    max: usize,
    used: AtomicUsize,
}

impl Budget {
    /// At most so many bytes at a time.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Ledger { max, used: AtomicUsize::new(0) }))
    }

    /// No limit: the bytes are counted all the same.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Bytes that are held now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be taken besides.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.max.saturating_sub(self.used())
    }

    /// Takes bytes until the charge is dropped.
    ///
    /// # Errors
    /// [`QueryError::Limit`] when there are not so many left; then nothing is taken.
    pub fn charge(&self, bytes: usize) -> Result<Charge, QueryError> {
        let max = self.0.max;
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= max);
        match self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => Ok(Charge { ledger: Arc::clone(&self.0), bytes }),
            Err(used) => Err(QueryError::Limit(format!(
                "the query would hold more than {max} bytes in memory at once (limit of one query: {max} bytes; \
                 {used} are held, {bytes} more are needed): ask for fewer series or a shorter range"
            ))),
        }
    }
}

/// Bytes of a [`Budget`] that are taken.
#[derive(Debug)]
pub struct Charge {
    ledger: Arc<Ledger>,
    bytes: usize,
}

impl Charge {
    /// How many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.ledger.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_held_again() {
        let budget = Budget::new(100);
        let first = budget.charge(60).expect("fits");
        let error = budget.charge(41).expect_err("too much").to_string();
        assert!(error.contains("limit of one query: 100 bytes"), "{error}");
        assert_eq!((budget.clone().used(), budget.left()), (60, 40), "a refused charge takes nothing");
        drop(first);
        let whole = budget.charge(100).expect("fits again");
        assert_eq!((whole.bytes(), budget.used()), (100, 100));
        assert!(budget.charge(usize::MAX).is_err(), "no overflow");
    }
}
