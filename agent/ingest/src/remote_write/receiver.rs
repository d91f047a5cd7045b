//! The receiver: from a compressed body to a committed answer, within bounds.

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use parking_lot::Mutex;
use storage::{AppendError, Appender};
use telemetry::{Gauge, Registry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::message::{DecodeError, Decoded, Version};
use super::write::{Written, write};
use crate::metrics::Metrics;
use crate::rows::Rows;

/// Between two rounds of housekeeping.
const SWEEP: Duration = Duration::from_secs(300);
/// Requests that are decoded and appended at a time.
const WORKERS: usize = 4;
/// Bytes that a worker's buffers may keep between requests.
const KEPT_MAX: usize = 8 << 20;

/// Bounds of the receiver.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a request, compressed, and again decompressed.
    pub body: usize,
    /// Bytes of all bodies that are read at a time, compressed; more requests wait.
    pub bodies: usize,
    /// How long a request waits for that, and how long its body may take.
    pub patience: Duration,
    /// Bytes that known series may take; new ones beyond are refused.
    pub series: usize,
    /// Whether messages of version 1, and of version 2, are taken.
    pub accepted: [bool; 2],
}

impl Limits {
    /// Whether a version's messages are taken.
    #[must_use]
    pub fn accepts(&self, version: Version) -> bool {
        self.accepted[version as usize]
    }
}

impl Default for Limits {
    /// 32 MiB a request as in Prometheus, 64 MiB of bodies, 30 s, and 512 MiB of series: about a million.
    fn default() -> Self {
        Self {
            body: 32 << 20,
            bodies: 64 << 20,
            patience: Duration::from_secs(30),
            series: 512 << 20,
            accepted: [true; 2],
        }
    }
}

/// Receives remote write requests. Clones share everything.
#[derive(Clone)]
pub struct RemoteWrite(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    rows: Mutex<Rows>,
    scratch: Mutex<Vec<Decoded>>,
    seed: u64,
    clock: SharedClock,
    tasks: Tasks,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// In units of 1 KiB.
    pub(crate) bodies: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

/// The right to hold a body in memory.
#[derive(Debug)]
pub(crate) struct Granted {
    _permit: OwnedSemaphorePermit,
    bytes: i64,
    gauge: Gauge,
}

impl Granted {
    pub(crate) fn new(permit: OwnedSemaphorePermit, bytes: usize, gauge: Gauge) -> Self {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        gauge.inc_by(bytes);
        Self { _permit: permit, bytes, gauge }
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        self.gauge.dec_by(self.bytes);
    }
}

/// A request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error("cannot decompress the request: {0}")]
    Snappy(#[from] snap::Error),
    #[error("the request has {size} bytes decompressed, at most {max}: send smaller ones")]
    TooLarge { size: usize, max: usize },
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the server is stopping")]
    Stopping,
}

impl RemoteWrite {
    /// A receiver that appends to a store, and its housekeeping in `tasks`.
    #[must_use]
    pub fn new(
        appender: Arc<dyn Appender>,
        limits: Limits,
        clock: SharedClock,
        random: &SharedRandom,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Self {
        let inner = Arc::new(Inner {
            rows: Mutex::new(Rows::new(appender, limits.series)),
            scratch: Mutex::default(),
            seed: random.next_u64(),
            clock,
            tasks: tasks.clone(),
            limits,
            metrics: Metrics::new(registry),
            bodies: Arc::new(Semaphore::new(limits.bodies.max(limits.body).div_ceil(1 << 10))),
            workers: Arc::new(Semaphore::new(WORKERS)),
        });
        let (sweeping, stop) = (Arc::clone(&inner), tasks.clone());
        tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = stop.stopping() => return,
                    () = tokio::time::sleep(SWEEP) => sweeping.sweep(),
                }
            }
        });
        Self(inner)
    }

    /// Decodes a compressed request and appends its samples; the route does this, and waits for the log.
    ///
    /// # Errors
    /// When the bytes are no request, are too many, or the store cannot take data now.
    pub(crate) async fn receive(
        &self,
        version: Version,
        body: Vec<u8>,
        granted: Granted,
    ) -> Result<Written, WriteError> {
        let turn = Arc::clone(&self.0.workers).acquire_owned().await.map_err(|_| WriteError::Stopping)?;
        let inner = Arc::clone(&self.0);
        // The work goes on when the sender leaves: what it holds belongs to it.
        let work = self.0.tasks.spawn_blocking(move || {
            let taken = inner.take(version, &body);
            drop((body, granted, turn));
            taken
        });
        let mut written = work.await.map_err(|_| WriteError::Stopping)??;
        if let Some(commit) = &mut written.outcome.commit {
            commit.written().await?;
        }
        Ok(written)
    }

    /// Decodes a compressed request and appends its samples, without waiting for the log: how many it took.
    ///
    /// # Errors
    /// In words, when the bytes are no request or the store cannot take data now.
    pub fn write(&self, version: Version, body: &[u8]) -> Result<u64, String> {
        self.0.take(version, body).map(|written| written.outcome.written).map_err(|error| error.to_string())
    }

    /// Housekeeping, which otherwise is done every few minutes.
    pub fn sweep(&self) {
        self.0.sweep();
    }
}

impl Inner {
    fn take(&self, version: Version, body: &[u8]) -> Result<Written, WriteError> {
        let mut decoded = self.scratch.lock().pop().unwrap_or_default();
        let taken = self.take_with(version, body, &mut decoded);
        let mut scratch = self.scratch.lock();
        if decoded.capacity() <= KEPT_MAX && scratch.len() < WORKERS {
            scratch.push(decoded);
        }
        taken
    }

    fn take_with(&self, version: Version, body: &[u8], decoded: &mut Decoded) -> Result<Written, WriteError> {
        let (size, max) = (snap::raw::decompress_len(body)?, self.limits.body);
        if size > max {
            return Err(WriteError::TooLarge { size, max });
        }
        decoded.body.resize(size, 0);
        let size = snap::raw::Decoder::new().decompress(body, &mut decoded.body)?;
        decoded.body.truncate(size);
        decoded.decode(version, self.seed)?;
        let now = self.seconds();
        let mut rows = self.rows.lock();
        let before = (rows.table.predicted, rows.table.searched, rows.moved);
        let written = write(&mut rows, decoded, version, now);
        self.metrics.predicted.inc_by(rows.table.predicted - before.0);
        self.metrics.searched.inc_by(rows.table.searched - before.1);
        self.metrics.moved.inc_by(rows.moved - before.2);
        self.show(&rows);
        drop(rows);
        let written = written?;
        self.count(&written);
        Ok(written)
    }

    fn seconds(&self) -> u32 {
        u32::try_from(self.clock.monotonic().as_secs()).unwrap_or(u32::MAX)
    }

    fn sweep(&self) {
        let mut rows = self.rows.lock();
        let swept = rows.sweep(self.seconds());
        self.show(&rows);
        drop(rows);
        self.metrics.forgotten.inc_by(swept.forgotten as u64);
        self.metrics.dissolved.inc_by(swept.dissolved as u64);
    }

    fn show(&self, rows: &Rows) {
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.series.set(size(rows.table.len() + rows.histograms.len()));
        self.metrics.series_bytes.set(size(rows.table.bytes() + rows.histograms.bytes()));
        self.metrics.layouts.set(size(rows.groups.len()));
    }

    fn count(&self, written: &Written) {
        let (outcome, metrics) = (&written.outcome, &self.metrics);
        metrics.samples.inc_by(outcome.written);
        metrics.invalid_labels.inc_by(written.invalid);
        metrics.metadata_dropped.inc_by(written.metadata_dropped);
        metrics.reject("out_of_order", outcome.out_of_order);
        metrics.reject("duplicate", outcome.duplicates);
        metrics.reject("out_of_bounds", outcome.out_of_bounds);
        metrics.reject("too_old", outcome.too_old);
        metrics.reject("no_room", outcome.no_room);
        metrics.reject("invalid_histogram", written.malformed);
        metrics.histograms.inc_by(outcome.histograms);
        metrics.exemplars.inc_by(outcome.exemplars);
    }
}
