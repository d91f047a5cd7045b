//! The loop of one target: wait, ask, write, report.

use std::sync::Arc;
use std::time::Duration;

use client::Session;
use env::{SharedClock, Tasks};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::buffers::IdleBuffers;
use crate::config::ScrapeConfig;
use crate::failure_log::FailureLogs;
use crate::fetch::{FetchError, Fetcher, Page};
use crate::labels::Found;
use crate::page::PageError;
use crate::schedule::{Alarm, Schedule};
use crate::series::{Counts, Origin, SeriesState, WriteError};
use crate::sink::{Losses, Sink};
use crate::status::Families;
use crate::target::Target;
use crate::texts::Texts;

/// What all loops of one pool share.
pub(crate) struct Job {
    pub(crate) config: ScrapeConfig,
    pub(crate) fetcher: Fetcher,
    pub(crate) sink: Sink,
    pub(crate) clock: SharedClock,
    pub(crate) tasks: Tasks,
    /// Set when all scrapes of the job fail, with the reason.
    pub(crate) forced_error: Mutex<Option<Arc<str>>>,
    pub(crate) offset_seed: u64,
    pub(crate) alarm: Arc<Alarm>,
    pub(crate) buffers: IdleBuffers,
    pub(crate) texts: Texts,
    pub(crate) failures: Arc<FailureLogs>,
}

/// A running loop.
#[derive(Debug)]
pub(crate) struct LoopHandle {
    pub(crate) target: Arc<Target>,
    stop: CancellationToken,
    task: JoinHandle<SeriesState>,
}

impl LoopHandle {
    /// Starts a loop; it takes over the series of an earlier one once that has ended.
    pub(crate) fn start(job: &Arc<Job>, target: Arc<Target>, earlier: Option<LoopHandle>) -> Self {
        let stop = CancellationToken::new();
        let (job, stopped, own) = (Arc::clone(job), stop.clone(), Arc::clone(&target));
        let task = job.tasks.clone().spawn(async move {
            let state = match earlier {
                Some(earlier) => earlier.finish().await,
                None => SeriesState::default(),
            };
            run(&job, &own, state, &stopped).await
        });
        Self { target, stop, task }
    }

    /// Ends the loop; a scrape in flight is finished first. What it knew of its series comes back.
    pub(crate) async fn finish(self) -> SeriesState {
        self.stop.cancel();
        let mut state = self.task.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a scrape loop failed");
            SeriesState::default()
        });
        state.reconfigured();
        state
    }

    /// Asks the loop to end, without waiting.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends the loop for good, in the background: its series get stale markers.
    pub(crate) fn retire(self, job: &Arc<Job>) {
        self.stop.cancel();
        let (job, target) = (Arc::clone(job), Arc::clone(&self.target));
        job.tasks.clone().spawn(async move {
            let mut state = self.finish().await;
            // At shutdown series do not end: the next process goes on with them.
            if !job.tasks.is_stopping() && state.has_written() {
                end(&job, &target, &mut state, job.clock.now_ms());
            }
        });
    }
}

async fn run(job: &Job, target: &Target, mut state: SeriesState, stop: &CancellationToken) -> SeriesState {
    let found = &target.found;
    let hash = found.labels.stable_hash() ^ xxh3_64(found.url.as_bytes()) ^ job.offset_seed;
    let schedule = Schedule::new(found.interval, hash);
    let mut moment = schedule.after(job.clock.now_ms());
    let mut session = job.fetcher.session(found.interval);
    loop {
        // Short naps, so that a clock that was set is noticed within one interval.
        let wake = job.alarm.at(moment, job.clock.now_ms(), tokio::time::Instant::now(), found.interval);
        tokio::select! {
            biased;
            () = stop.cancelled() => return state,
            () = job.tasks.stopping() => return state,
            () = tokio::time::sleep_until(wake) => {}
        }
        let now = job.clock.now_ms();
        if now < moment {
            moment = schedule.after(now - 1);
            if now < moment {
                continue;
            }
        }
        let timestamp = schedule.timestamp(moment, now);
        tokio::select! {
            biased;
            () = job.tasks.stopping() => return state,
            () = Box::pin(scrape(job, target, &mut session, &mut state, timestamp)) => {}
        }
        moment = schedule.next(moment, job.clock.now_ms());
    }
}

/// One scrape, from the request to its report.
async fn scrape(job: &Job, target: &Target, session: &mut Session, state: &mut SeriesState, timestamp: i64) {
    let begun = job.clock.monotonic();
    let forced = job.forced_error.lock().clone();
    let mut buffers = job.buffers.take();
    let fetched = match forced {
        Some(_) => None,
        None => {
            let Found { url, timeout, .. } = &target.found;
            Some(job.fetcher.fetch(session, url, *timeout, &mut buffers).await)
        }
    };
    let took = job.clock.monotonic().saturating_sub(begun);
    let (mut losses, mut counts, mut size) = (Losses::default(), Counts::default(), 0.0);
    let outcome = match fetched {
        None => Err(forced.as_deref().unwrap_or_default().to_owned()),
        Some(Err(error)) => {
            if matches!(error, FetchError::TooLarge) {
                job.sink.metrics.over_body_size_limit.inc();
                size = -1.0;
            }
            Err(error.to_string())
        }
        Some(Ok(page)) => {
            #[allow(clippy::cast_precision_loss, reason = "pages are far below 2^53 bytes")]
            let bytes = page.bytes.len() as f64;
            size = bytes;
            write(job, target, state, &page, timestamp, &mut losses, &mut counts)
        }
    };
    job.buffers.give_back(buffers);
    let mut failed = None;
    if let Err(error) = &outcome {
        if let Some(path) = &job.config.failure_log {
            job.failures.note(path, job.clock.now_ms(), &job.config.job_name, &target.found.url, error);
        }
        failed = state.end(timestamp, &job.sink, &mut losses).err();
    }
    let values = report(job, target, Some((outcome.is_ok(), took, counts, size)));
    failed = state.report(&target.found.labels, &values, timestamp, &job.sink, &mut losses).err().or(failed);
    if let Some(error) = failed {
        tracing::error!(target_url = %target.found.url, %error, "the report of a scrape could not be appended");
    }
    job.sink.settle(&target.found.url, losses);
    target.scraped(timestamp, took, outcome);
}

fn write(
    job: &Job,
    target: &Target,
    state: &mut SeriesState,
    page: &Page<'_>,
    timestamp: i64,
    losses: &mut Losses,
    counts: &mut Counts,
) -> Result<Arc<Families>, String> {
    let origin = Origin { config: &job.config, target: &target.found.labels, texts: &job.texts };
    state.write(page, timestamp, origin, &job.sink, losses, counts).map_err(|error| {
        if matches!(error, WriteError::Page(PageError::SampleLimit { .. })) {
            job.sink.metrics.over_sample_limit.inc();
        }
        if matches!(error, WriteError::Page(PageError::BucketLimit)) {
            job.sink.metrics.over_bucket_limit.inc();
        }
        error.to_string()
    })
}

/// All series of a target end.
fn end(job: &Job, target: &Target, state: &mut SeriesState, timestamp: i64) {
    let mut losses = Losses::default();
    let ended = state.end(timestamp, &job.sink, &mut losses).and_then(|()| {
        state.report(&target.found.labels, &report(job, target, None), timestamp, &job.sink, &mut losses)
    });
    if let Err(error) = ended {
        tracing::error!(target_url = %target.found.url, %error, "stale markers could not be appended");
    }
    job.sink.settle(&target.found.url, losses);
}

/// Name, help and value of the series that speak of a scrape; `None`: their ends.
fn report(
    job: &Job,
    target: &Target,
    scrape: Option<(bool, Duration, Counts, f64)>,
) -> Vec<(&'static str, &'static str, Option<f64>)> {
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    let count = |of: fn(&Counts) -> usize| scrape.map(|(_, _, counts, _)| of(&counts) as f64);
    let mut values = vec![
        (
            "up",
            "Health of the scrape target. 1 means the target is healthy, 0 if the scrape failed.",
            scrape.map(|(up, ..)| f64::from(u8::from(up))),
        ),
        (
            "scrape_duration_seconds",
            "Duration of the last scrape in seconds.",
            scrape.map(|(_, took, ..)| took.as_secs_f64()),
        ),
        (
            "scrape_samples_scraped",
            "Number of samples last scraped from the target.",
            count(|counts| counts.scraped),
        ),
        (
            "scrape_samples_post_metric_relabeling",
            "Number of samples remaining after metric relabeling was applied.",
            count(|counts| counts.kept),
        ),
        ("scrape_series_added", "Number of series in the last scrape.", count(|counts| counts.added)),
    ];
    if job.config.extra_scrape_metrics {
        #[allow(clippy::cast_precision_loss, reason = "limits are for people")]
        let limit = job.config.sample_limit as f64;
        let extra = |value: f64| scrape.map(|_| value);
        values.extend([
            (
                "scrape_timeout_seconds",
                "The configured scrape timeout for a target.",
                extra(target.found.timeout.as_secs_f64()),
            ),
            (
                "scrape_sample_limit",
                "The configured sample limit for a target. Returns zero if there is no limit configured.",
                extra(limit),
            ),
            (
                "scrape_body_size_bytes",
                "The uncompressed size of the last scrape response, if successful. Scrapes failing because \
                 body_size_limit is exceeded report -1, other scrape failures report 0.",
                scrape.map(|(.., size)| size),
            ),
        ]);
    }
    values
}
