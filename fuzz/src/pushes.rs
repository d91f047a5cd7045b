//! Remote write: whatever a request says, each row has its layout's width, and no more is taken than was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::{SeededRandom, SimulatedClock, Tasks};
use ingest::{Limits, Otlp, OtlpConfig, RemoteWrite, Strategy, Version};
use storage::{
    AppendError, AppendOutcome, Appender, Cell, CommitSender, Layout, LayoutRef, Row, Slot, commit_channel,
};
use tokio::runtime::{Builder, Runtime};

/// Takes everything and keeps nothing.
struct Sink {
    tokens: AtomicU64,
    samples: AtomicU64,
    commits: CommitSender,
}

impl Appender for Sink {
    fn layout(&self, layout: Layout) -> Result<LayoutRef, AppendError> {
        Ok(LayoutRef::new(Arc::new(layout), self.tokens.fetch_add(1, Ordering::Relaxed)))
    }

    fn append(&self, row: Row<'_>) -> Result<AppendOutcome, AppendError> {
        assert_eq!(row.cells.len(), row.layout.layout().slots().len(), "a row of another width");
        let slots = row.layout.layout().slots();
        let is_sample = |(cell, slot): &(&Cell, &Slot)| **cell != Cell::Absent && !slot.is_start();
        let appended = row.cells.iter().zip(slots).filter(is_sample).count();
        self.samples.fetch_add(appended as u64, Ordering::Relaxed);
        Ok(AppendOutcome {
            appended,
            out_of_order: 0,
            duplicates: 0,
            out_of_bounds: 0,
            too_old: 0,
            first_rejected: None,
            commit: self.commits.commit(0),
        })
    }

    fn keeps_starts(&self) -> bool {
        true
    }
}

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

pub(crate) fn version_1(body: &[u8]) {
    push(Version::V1, body);
}

pub(crate) fn version_2(body: &[u8]) {
    push(Version::V2, body);
}

/// The first byte says whether the rest is JSON, and how it is translated.
pub(crate) fn otlp(input: &[u8]) {
    let Some((&how, body)) = input.split_first() else { return };
    RUNTIME.with(|runtime| {
        let _inside = runtime.enter();
        let sink = Arc::new(Sink {
            tokens: AtomicU64::new(1),
            samples: AtomicU64::new(0),
            commits: commit_channel(),
        });
        let config = OtlpConfig {
            strategy: Strategy::ALL[usize::from(how >> 1) % Strategy::ALL.len()].1,
            histograms_to_nhcb: how & 8 != 0,
            promotes_all: how & 16 != 0,
            promotes_scope: how & 32 != 0,
            ..OtlpConfig::default()
        };
        let (clock, random, tasks) =
            (SimulatedClock::at(1_700_000_000_000), SeededRandom::shared(1), Tasks::new());
        let registry = telemetry::Registry::new();
        let otlp = Otlp::new(sink.clone(), config, clock, &random, &tasks, &registry);
        match otlp.write(how & 1 != 0, body) {
            // A histogram is several cells, a number is one.
            Ok(0) => assert_eq!(sink.samples.load(Ordering::Relaxed), 0),
            Ok(_) => {}
            Err(why) => assert!(!why.is_empty()),
        }
        // Its housekeeping ends, and lets go of what it holds.
        tasks.stop();
        runtime.block_on(async { tokio::task::yield_now().await });
    });
}

/// The first byte says whether the rest is compressed already.
fn push(version: Version, input: &[u8]) {
    let Some((&raw, body)) = input.split_first() else { return };
    let packed;
    let body = if raw == 1 {
        body
    } else {
        let Ok(bytes) = snap::raw::Encoder::new().compress_vec(body) else { return };
        packed = bytes;
        &packed
    };
    RUNTIME.with(|runtime| {
        let _inside = runtime.enter();
        let sink = Arc::new(Sink {
            tokens: AtomicU64::new(1),
            samples: AtomicU64::new(0),
            commits: commit_channel(),
        });
        let limits = Limits { body: 1 << 20, series: 1 << 20, ..Limits::default() };
        let (clock, random, tasks) =
            (SimulatedClock::at(1_700_000_000_000), SeededRandom::shared(1), Tasks::new());
        let registry = telemetry::Registry::new();
        let appender = Arc::clone(&sink) as Arc<dyn Appender>;
        let receiver = RemoteWrite::new(appender, limits, clock, &random, &tasks, &registry);
        let taken = || sink.samples.load(Ordering::Relaxed);
        if let Ok(written) = receiver.write(version, body) {
            assert!(
                written <= body.len() as u64 * 64 && taken() <= written,
                "{written}, the store took {}",
                taken()
            );
        }
        // Once more: now the receiver knows the series.
        let _ = receiver.write(version, body);
        receiver.sweep();
        // Its housekeeping ends, and lets go of what it holds.
        tasks.stop();
        runtime.block_on(async { tokio::task::yield_now().await });
    });
}
