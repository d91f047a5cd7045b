//! Memory for pages, used again from scrape to scrape by all targets of a job.
//!
//! Not one buffer a target: most of the time a target waits, and a page has more bytes than all that is
//! remembered of it.

use parking_lot::Mutex;

/// Bytes that a job's idle buffers may hold.
const IDLE_BYTES_MAX: usize = 4 << 20;

/// The memory of one scrape.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// The body as it came.
    pub(crate) wire: Vec<u8>,
    /// The same without its compression.
    pub(crate) plain: Vec<u8>,
}

impl Buffers {
    fn bytes(&self) -> usize {
        self.wire.capacity() + self.plain.capacity()
    }
}

/// Buffers that nobody uses now.
#[derive(Debug, Default)]
pub(crate) struct IdleBuffers(Mutex<Vec<Buffers>>);

impl IdleBuffers {
    pub(crate) fn take(&self) -> Buffers {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Keeps the memory for the next scrape, within the limit.
    pub(crate) fn give_back(&self, buffers: Buffers) {
        let mut idle = self.0.lock();
        let held: usize = idle.iter().map(Buffers::bytes).sum();
        if held + buffers.bytes() <= IDLE_BYTES_MAX {
            idle.push(buffers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_memory_is_bounded_and_used_again() {
        let idle = IdleBuffers::default();
        let of = |bytes| Buffers { wire: Vec::with_capacity(bytes), plain: Vec::new() };
        idle.give_back(of(1_000));
        idle.give_back(of(IDLE_BYTES_MAX));
        assert_eq!(idle.take().wire.capacity(), 1_000, "the large one was not kept");
        assert_eq!(idle.take().wire.capacity(), 0);
    }
}
