//! Memory for pages, used again from scrape to scrape by all targets of a job.
//!
//! Not one buffer a target: most of the time a target waits, and a page has more bytes than all that is
//! remembered of it.

use parking_lot::Mutex;

/// Bytes that a job's idle buffers may hold.
const IDLE_BYTES_MAX: usize = 4 << 20;
/// After so many scrapes buffers go that none of them needed.
const LOOK_EVERY: usize = 256;

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
pub(crate) struct IdleBuffers(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Buffers>,
    /// So many stayed here since they were last looked through.
    unused: usize,
    /// Times that one was given back since then.
    given_back: usize,
}

impl IdleBuffers {
    pub(crate) fn take(&self) -> Buffers {
        let mut idle = self.0.lock();
        let taken = idle.buffers.pop().unwrap_or_default();
        idle.unused = idle.unused.min(idle.buffers.len());
        taken
    }

    /// Keeps the memory for the next scrape, within the limit. Those that were not needed for a while go: many
    /// targets may have answered at once only at the start.
    pub(crate) fn give_back(&self, buffers: Buffers) {
        let mut idle = self.0.lock();
        idle.given_back += 1;
        if idle.given_back >= LOOK_EVERY {
            let unused = idle.unused;
            idle.buffers.drain(..unused);
            (idle.given_back, idle.unused) = (0, idle.buffers.len());
        }
        if idle.bytes() + buffers.bytes() <= IDLE_BYTES_MAX {
            idle.buffers.push(buffers);
        }
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.0.lock().bytes()
    }
}

impl Idle {
    fn bytes(&self) -> usize {
        self.buffers.iter().map(Buffers::bytes).sum()
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

    #[test]
    fn buffers_of_a_rush_go_when_it_is_over() {
        let idle = IdleBuffers::default();
        let of = |bytes| Buffers { wire: Vec::with_capacity(bytes), plain: Vec::new() };
        let all: Vec<_> = (0..10).map(|_| idle.take()).collect();
        all.into_iter().for_each(|_| idle.give_back(of(1_000)));
        for _ in 0..LOOK_EVERY {
            let (one, two) = (idle.take(), idle.take());
            idle.give_back(one);
            idle.give_back(two);
        }
        assert_eq!(idle.bytes(), 2_000, "two at a time are used");
    }
}
