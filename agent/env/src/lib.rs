//! The outside world behind traits, so that a simulation can own it: time, randomness, tasks, disk space;
//! and how much memory there is.
//!
//! Knows nothing of Vedette. Everything above takes what it needs as an argument; `clippy.toml`
//! forbids the ways around.

mod clock;
mod disk;
mod memory;
mod random;
mod tasks;
mod text;

pub use clock::{Clock, SharedClock, SimulatedClock, SystemClock};
pub use disk::{DiskSpace, Space, SystemDisk};
pub use memory::{Resident, allocated, memory_max, resident};
pub use random::{Random, SeededRandom, SharedRandom, SystemRandom};
pub use tasks::{Tasks, TasksStillRunning};
pub use text::give_back_program;
