//! Bytes from disk, network and users that nobody of ours wrote: one function a format, which panics where a reader
//! panics, answers twice differently, or gives what was not there.
//!
//! `make fuzz` runs each under libFuzzer; `tests/replay.rs` runs seeds, findings and some mutations of them
//! as a plain test. Seeds come from our own encoders.

mod chunks;
mod codecs;
mod logs;
mod pages;
mod pushes;
mod queries;
mod wire;

use std::path::PathBuf;

/// One format.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, which is also that of its folder of findings.
    pub name: &'static str,
    /// Reads some bytes.
    pub run: fn(&[u8]),
    /// Bytes to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "text", run: pages::text, seeds: pages::text_seeds },
    Target { name: "openmetrics", run: pages::openmetrics, seeds: pages::openmetrics_seeds },
    Target { name: "protobuf", run: pages::protobuf, seeds: wire::page_seeds },
    Target { name: "remote_write_1", run: pushes::version_1, seeds: wire::write_1_seeds },
    Target { name: "remote_write_2", run: pushes::version_2, seeds: wire::write_2_seeds },
    Target { name: "otlp", run: pushes::otlp, seeds: wire::otlp_seeds },
    Target { name: "segment", run: logs::segment, seeds: logs::segment_seeds },
    Target { name: "records", run: logs::records, seeds: logs::record_seeds },
    Target { name: "frames", run: logs::frames, seeds: logs::frame_seeds },
    Target { name: "tiles", run: codecs::tiles, seeds: codecs::tile_seeds },
    Target { name: "blocks", run: codecs::blocks, seeds: codecs::block_seeds },
    Target { name: "times", run: codecs::times, seeds: codecs::times_seeds },
    Target { name: "language", run: queries::language, seeds: queries::language_seeds },
    Target { name: "evaluation", run: queries::evaluation, seeds: queries::evaluation_seeds },
    Target { name: "chunks", run: chunks::chunks, seeds: chunks::chunk_seeds },
];

/// The target of a name.
///
/// # Panics
/// When there is none; the message lists them.
#[must_use]
pub fn target(name: &str) -> Target {
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    *TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("{name}: one of {names:?}"))
}

/// Inputs that once failed, in the repository.
#[must_use]
pub fn findings(name: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("findings").join(name);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Numbers out of the front of some bytes; zeros where they end.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }
}
