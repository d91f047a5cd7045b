//! Real processes under faults: the harness. One test file per promise stands in `tests/`.
//!
//! Tests run at CI size unless `VEDETTE_SOAK` is set (see `size`). `VEDETTE_SEED` repeats one seed, and
//! `VEDETTE_KEEP` leaves each test's folder behind.

mod agent;
mod ask;
mod folder;
mod intents;
mod pair;
mod reader;
mod recorder;
mod size;
mod switch;

pub use agent::{Agent, AgentOptions};
pub use ask::{Name, Samples, alerts, cluster, instant, metric, samples, vector};
pub use folder::{Folder, alone};
pub use intents::{Open, open_intents, story};
pub use pair::{AlertGroup, Node, Pair, PairOptions};
pub use reader::remote_reader;
pub use recorder::{Recorder, parse_page};
pub use size::{report, seeds, size, soak};
pub use switch::{NodeExporter, now_ms, wait};
