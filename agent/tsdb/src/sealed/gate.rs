//! What is written to a database that is not whole: it is opened without RocksDB's own guard, under which the damage
//! would refuse the start, so this one stands in its place.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::error::SealedError;

/// Lets writes pass until one fails: what came after it would lie behind a torn record, where a start does not find it.
pub(super) struct Gate {
    /// RocksDB itself does not refuse.
    lenient: bool,
    failed: AtomicBool,
    one: Mutex<()>,
}

impl Gate {
    pub(super) fn new(lenient: bool) -> Self {
        Self { lenient, failed: AtomicBool::new(false), one: Mutex::new(()) }
    }

    pub(super) fn pass<T>(&self, write: impl FnOnce() -> Result<T, SealedError>) -> Result<T, SealedError> {
        if !self.lenient {
            return write();
        }
        // One at a time: none may be on its way behind one that fails.
        let _one = self.one.lock();
        if self.failed.load(Ordering::Relaxed) {
            return Err(SealedError::WriteFailed);
        }
        let written = write();
        self.failed.store(written.is_err(), Ordering::Relaxed);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_behind_a_failure_where_the_database_does_not_see_to_it() {
        for lenient in [false, true] {
            let gate = Gate::new(lenient);
            assert!(gate.pass(|| Ok(1)).is_ok());
            let failed: Result<(), _> = gate.pass(|| Err(SealedError::Malformed("the disk")));
            assert!(failed.is_err());
            let mut is_written = false;
            let after = gate.pass(|| {
                is_written = true;
                Ok(())
            });
            assert_eq!((after.is_ok(), is_written), (!lenient, !lenient));
        }
    }
}
