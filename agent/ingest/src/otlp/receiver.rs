//! The receiver: from a body to committed rows, within bounds.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom, Tasks};
use flate2::read::MultiGzDecoder;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::AppendError;
use storage::Appender;
use telemetry::{Counter, Registry};
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::Xxh3;

use super::data::ReadError;
use super::translate::{OtlpConfig, Series, TooLarge, Translated, translate};
use super::{json, protobuf};
use crate::rows::{Outcome, Rows};

/// Between two rounds of housekeeping.
const SWEEP: Duration = Duration::from_secs(300);
/// Requests that are read and translated at a time: each may take several times its own size.
const WORKERS: usize = 2;
/// Bytes of a request, as it comes and unpacked.
pub(super) const BODY_MAX: usize = 32 << 20;
/// Bytes that known series may take; new ones beyond are refused.
const SERIES_BYTES_MAX: usize = 256 << 20;
/// Bytes of one series' labels.
const LABEL_BYTES_MAX: usize = 64 << 10;

/// How a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

/// Receives OpenTelemetry's metrics. Clones share everything.
#[derive(Clone)]
pub struct Otlp(pub(super) Arc<Inner>);

pub(super) struct Inner {
    rows: Mutex<Rows>,
    config: RwLock<Arc<OtlpConfig>>,
    seed: u64,
    clock: SharedClock,
    tasks: Tasks,
    workers: Arc<Semaphore>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Metrics {
    samples: Counter,
    histograms: Counter,
    exemplars: Counter,
    refused: Counter,
    left_out: Counter,
}

/// A request was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum OtlpError {
    #[error("cannot unpack the request: {0}")]
    Gzip(std::io::Error),
    #[error("the request has over {BODY_MAX} bytes unpacked: send smaller ones")]
    Unpacked,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the server is stopping")]
    Stopping,
}

impl Otlp {
    /// A receiver that appends to a store, and its housekeeping in `tasks`.
    #[must_use]
    pub fn new(
        appender: Arc<dyn Appender>,
        config: OtlpConfig,
        clock: SharedClock,
        random: &SharedRandom,
        tasks: &Tasks,
        registry: &Registry,
    ) -> Self {
        let metrics = Metrics::default();
        for (name, help, counter) in [
            ("vedette_otlp_samples", "Samples taken from OTLP.", &metrics.samples),
            ("vedette_otlp_histograms", "Native histograms taken from OTLP.", &metrics.histograms),
            ("vedette_otlp_exemplars", "Exemplars taken from OTLP.", &metrics.exemplars),
            ("vedette_otlp_refused_samples", "Samples from OTLP that the store refused.", &metrics.refused),
            (
                "vedette_otlp_left_out",
                "Requests of OTLP of which something cannot be translated.",
                &metrics.left_out,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        let inner = Arc::new(Inner {
            rows: Mutex::new(Rows::new(appender, SERIES_BYTES_MAX)),
            config: RwLock::new(Arc::new(config)),
            seed: random.next_u64(),
            clock,
            tasks: tasks.clone(),
            workers: Arc::new(Semaphore::new(WORKERS)),
            metrics,
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

    /// Translates by other settings from now on.
    pub fn apply(&self, config: OtlpConfig) {
        *self.0.config.write() = Arc::new(config);
    }

    /// Reads a request, in JSON or protobuf, and appends what it comes to, without waiting for the log: how many samples
    /// and histograms the store took.
    ///
    /// # Errors
    /// In words, when the bytes are no request or the store cannot take data now.
    pub fn write(&self, json: bool, body: &[u8]) -> Result<u64, String> {
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        let taken = self.0.take(encoding, false, body);
        taken.map(|outcome| outcome.written + outcome.histograms).map_err(|error| error.to_string())
    }

    /// Reads a request and appends what it comes to; waits until that is in the log.
    pub(super) async fn receive(
        &self,
        encoding: Encoding,
        packed: bool,
        body: Vec<u8>,
    ) -> Result<Outcome, OtlpError> {
        let turn = Arc::clone(&self.0.workers).acquire_owned().await.map_err(|_| OtlpError::Stopping)?;
        let inner = Arc::clone(&self.0);
        // The work goes on when the sender leaves: what it holds belongs to it.
        let work = self.0.tasks.spawn_blocking(move || {
            let taken = inner.take(encoding, packed, &body);
            drop(turn);
            taken
        });
        let mut outcome = work.await.map_err(|_| OtlpError::Stopping)??;
        if let Some(commit) = &mut outcome.commit {
            commit.written().await?;
        }
        Ok(outcome)
    }
}

impl Inner {
    fn take(&self, encoding: Encoding, packed: bool, body: &[u8]) -> Result<Outcome, OtlpError> {
        let mut unpacked = Vec::new();
        let body = if packed {
            let most = BODY_MAX as u64 + 1;
            MultiGzDecoder::new(body).take(most).read_to_end(&mut unpacked).map_err(OtlpError::Gzip)?;
            if unpacked.len() > BODY_MAX {
                return Err(OtlpError::Unpacked);
            }
            unpacked.as_slice()
        } else {
            body
        };
        let resources = match encoding {
            Encoding::Protobuf => protobuf::read(body)?,
            Encoding::Json => json::read(body)?,
        };
        let config = Arc::clone(&self.config.read());
        let translated = translate(resources, &config)?;
        if !translated.left_out.is_empty() {
            self.metrics.left_out.inc();
            tracing::warn!(what = ?translated.left_out, "some of an OTLP request cannot be translated");
        }
        let outcome = self.write(translated)?;
        self.metrics.samples.inc_by(outcome.written);
        self.metrics.histograms.inc_by(outcome.histograms);
        self.metrics.exemplars.inc_by(outcome.exemplars);
        self.metrics.refused.inc_by(lost(&outcome));
        Ok(outcome)
    }

    fn write(&self, translated: Translated) -> Result<Outcome, OtlpError> {
        let mut outcome = Outcome::default();
        let now = u32::try_from(self.clock.monotonic().as_secs()).unwrap_or(u32::MAX);
        let mut rows = self.rows.lock();
        rows.begin(now);
        for (labels, series) in translated.series {
            self.write_series(&mut rows, &labels, series, &mut outcome)?;
            if rows.is_full() {
                rows.flush(&mut outcome)?;
            }
        }
        rows.flush(&mut outcome)?;
        Ok(outcome)
    }

    fn write_series(
        &self,
        rows: &mut Rows,
        labels: &Labels,
        mut series: Series,
        outcome: &mut Outcome,
    ) -> Result<(), AppendError> {
        let bytes: usize = labels.pairs().map(|(name, value)| name.len() + value.len()).sum();
        let points = (series.samples.len() + series.histograms.len()) as u64;
        if bytes > LABEL_BYTES_MAX || labels.metric_name().is_empty() {
            outcome.no_room += points;
            outcome
                .explain(|| format!("a series without name, or with over {LABEL_BYTES_MAX} bytes of labels"));
            return Ok(());
        }
        let key = self.key(labels);
        let refuse = |outcome: &mut Outcome| {
            outcome.no_room += points;
            outcome.explain(|| "too many series were sent within the last hour".to_owned());
        };
        if !series.samples.is_empty() {
            let id = match rows.table.find(key) {
                Some(id) => id,
                None if !rows.has_room(bytes) => {
                    refuse(outcome);
                    return Ok(());
                }
                None => rows.admit(key, labels, bytes, Some(series.metadata.clone())),
            };
            let keeps_starts = rows.appender.keeps_starts();
            series.samples.sort_by_key(|(time, ..)| *time);
            for (time, start, value) in series.samples {
                rows.stage(id, time, value.to_bits(), outcome);
                if keeps_starts && start > 0 && start < time {
                    rows.stage_start(id, time, start);
                }
            }
        }
        if !series.histograms.is_empty() {
            if !rows.histograms.has(key) {
                if !rows.has_room(bytes) {
                    refuse(outcome);
                    return Ok(());
                }
                rows.histograms.admit(key, labels, bytes, series.metadata);
            }
            series.histograms.sort_by_key(|(time, _)| *time);
            let (now, appender) = (rows.now, Arc::clone(&rows.appender));
            for (time, histogram) in &series.histograms {
                rows.histograms.append(key, &*appender, (*time, histogram), now, outcome)?;
            }
        }
        if !series.exemplars.is_empty() {
            series.exemplars.sort_by_key(|exemplar| exemplar.timestamp);
            outcome.exemplars += rows.appender.append_exemplars(labels, &series.exemplars).appended as u64;
        }
        Ok(())
    }

    fn key(&self, labels: &Labels) -> u128 {
        let mut hash = Xxh3::with_seed(self.seed);
        for (name, value) in labels.pairs() {
            for text in [name, value] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        }
        hash.digest128()
    }

    fn sweep(&self) {
        let seconds = u32::try_from(self.clock.monotonic().as_secs()).unwrap_or(u32::MAX);
        self.rows.lock().sweep(seconds);
    }
}

/// Samples that are not in the store.
pub(super) fn lost(outcome: &Outcome) -> u64 {
    outcome.out_of_order + outcome.duplicates + outcome.out_of_bounds + outcome.too_old + outcome.no_room
}
