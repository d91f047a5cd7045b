//! The loop that empties one queue.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::Limits;
use env::{SharedClock, SharedRandom};
use http::{Method, Request, StatusCode};

use crate::alert::PostedAlert;
use crate::destination::Destination;
use crate::metrics::{Metrics, alertmanager};
use crate::queue::{Queue, Queued};

/// First pause after a failure; doubled up to [`PAUSE_MAX`], with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause between two attempts: an alertmanager that is back hears of everything within it.
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer that are read, at most: only its status counts.
const ANSWER_MAX: u64 = 64 << 10;

pub(crate) struct Delivery {
    pub(crate) destination: Arc<Destination>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) batch: usize,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) metrics: Metrics,
}

/// What an alertmanager did with a batch.
enum Outcome {
    Taken,
    /// It will never take it.
    Refused(String),
    /// Not now.
    Failed(String),
}

impl Delivery {
    /// Delivers for ever.
    pub(crate) async fn run(self) {
        let mut pause = PAUSE_MIN;
        let mut failing = false;
        let label = alertmanager(&self.destination.url);
        loop {
            self.queue.filled().await;
            let batch = self.queue.oldest(self.batch);
            let start = self.clock.monotonic();
            let outcome = self.post(&batch).await;
            let took = self.clock.monotonic().saturating_sub(start);
            self.metrics.seconds.get_or_create(&label).inc_by(took.as_secs_f64());
            self.metrics.sent.get_or_create(&label).inc_by(batch.len() as u64);
            let why = match outcome {
                Outcome::Taken => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(alertmanager = %self.destination.url, "alerts are delivered again");
                    }
                    pause = PAUSE_MIN;
                    self.queue.done(&batch);
                    continue;
                }
                Outcome::Refused(why) => {
                    tracing::error!(alertmanager = %self.destination.url, alerts = batch.len(), %why, "alerts are refused and given up");
                    self.metrics.errors.get_or_create(&label).inc_by(batch.len() as u64);
                    self.metrics.dropped.inc_by(batch.len() as u64);
                    self.queue.done(&batch);
                    continue;
                }
                Outcome::Failed(why) => why,
            };
            self.metrics.errors.get_or_create(&label).inc_by(batch.len() as u64);
            if !std::mem::replace(&mut failing, true) {
                tracing::warn!(alertmanager = %self.destination.url, alerts = self.queue.len(), %why, "alerts wait: delivery fails");
            }
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * self.random.next_unit())).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn post(&self, batch: &[Queued]) -> Outcome {
        let alerts: Vec<PostedAlert> = batch.iter().map(|queued| PostedAlert::from(&queued.alert)).collect();
        let body = match serde_json::to_vec(&alerts) {
            Ok(body) => Bytes::from(body),
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.destination.url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::USER_AGENT, concat!("Vedette/", env!("CARGO_PKG_VERSION")))
            .body(body);
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::Refused(error.to_string()),
        };
        let limits = Limits { timeout: self.destination.timeout, body_max: ANSWER_MAX };
        match self.destination.client.send(request, limits).await {
            Ok(answer) if answer.status.is_success() => Outcome::Taken,
            Ok(answer) => {
                let why = format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body).trim());
                let later =
                    matches!(answer.status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
                if answer.status == StatusCode::BAD_REQUEST && !later {
                    // An alertmanager that answers 400 has stored the valid alerts of the batch.
                    Outcome::Refused(why)
                } else {
                    Outcome::Failed(why)
                }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }
}
