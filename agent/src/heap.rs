//! What the process has in memory besides what its parts say: what the allocator keeps, and what is not its.

use tikv_jemalloc_ctl::{epoch, stats};
pub use tikv_jemallocator::Jemalloc as Allocator;
use tsdb::Store;

/// What the allocator says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Heap {
    /// Bytes that were asked for, each piece as large as it was made.
    allocated: u64,
    /// Bytes of its pages that are in memory, its own records among them.
    resident: u64,
}

/// Counts in a store's budget what no part counts: parts and these are what the kernel says of the whole.
pub fn count(store: &Store) {
    store.count_memory("allocator", || {
        let Heap { allocated, resident } = heap();
        resident.saturating_sub(allocated)
    });
    store.count_memory("program", || env::resident().map_or(0, |resident| resident.mapped));
    // Stacks of threads, and what the program's own pages were changed to as it was loaded.
    store.count_memory("stacks", || {
        let anonymous = env::resident().map_or(0, |resident| resident.anonymous);
        anonymous.saturating_sub(heap().resident)
    });
}

/// Zeros where the allocator does not say.
fn heap() -> Heap {
    let read = || {
        epoch::advance().ok()?;
        Some(Heap {
            allocated: stats::allocated::read().ok()? as u64,
            resident: stats::resident::read().ok()? as u64,
        })
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_says_what_was_asked_for() {
        let before = heap();
        let held: Vec<u8> = vec![1; 64 << 20];
        let after = heap();
        // Something small may have gone meanwhile, such as what another test had.
        let least = before.allocated + held.len() as u64 - (1 << 20);
        assert!(after.allocated >= least, "{before:?} {after:?}");
        assert!(after.resident >= after.allocated, "{after:?}");
    }
}
