//! One notification from its announcement to its outcome: Intent, attempts while the lease holds, Done or
//! Failed.

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, SharedRandom};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::command::{Command, Content, LeaderId, NotifyKey, Reason, Rejection, Reply};
use crate::dedup::Plan;
use crate::grid::millis;
use crate::journal::{JournalError, Lease, Proposer};
use crate::metrics::Metrics;
use crate::notify::{
    FailureReason, Notification, Notifier, NotifyError, NotifyOutcome, Sent, notification_id,
};

/// First pause between attempts; grows by half each time, up to the maximum.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// Pause before a proposal whose outcome is unknown is repeated.
const PROPOSE_PAUSE: Duration = Duration::from_millis(200);
/// How long the report of an accepted notification is tried: after that another leader has sent again.
const REPORT_FOR: Duration = Duration::from_mins(2);

/// What every delivery of one leader needs.
pub(crate) struct Delivery {
    pub(crate) proposer: Proposer,
    /// `None` while this node is cut off: then nobody can forbid it to send.
    pub(crate) lease: Option<Arc<dyn Lease>>,
    pub(crate) leader: LeaderId,
    pub(crate) origin: String,
    pub(crate) clock: SharedClock,
    pub(crate) random: SharedRandom,
    pub(crate) metrics: Metrics,
    /// How long an announcement holds before it must be renewed.
    pub(crate) peer_timeout: Duration,
    /// This leadership is over: nothing is tried again.
    pub(crate) stop: CancellationToken,
}

/// One notification to deliver.
pub(crate) struct Job {
    pub(crate) key: NotifyKey,
    pub(crate) plan: Plan,
    pub(crate) content: Content,
    pub(crate) notifier: Arc<dyn Notifier>,
    pub(crate) notification: Notification,
    /// How long it is tried.
    pub(crate) patience: Duration,
    /// How long its log entry is kept.
    pub(crate) keep: Duration,
    /// So many are sent to one integration at a time.
    pub(crate) places: Arc<Semaphore>,
}

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Told, or nothing had to be.
    Told,
    /// The state says otherwise than the plan assumed: plan anew.
    Stale,
    /// Not told; the next tick tries again.
    Failed,
    /// This node may no longer send, or cannot commit.
    Stopped,
}

enum Attempts {
    Accepted(NotifyOutcome),
    GivenUp { unknown: bool },
    Stopped,
}

impl Delivery {
    pub(crate) async fn run(&self, job: Job) -> Ended {
        let Ok(_place) = job.places.acquire().await else { return Ended::Stopped };
        let mut plan = job.plan.clone();
        if let Plan::GiveUp { seq, then } = plan {
            let ended = self.commit(self.failed(&job, seq, true)).await;
            if ended != Ended::Told {
                return ended;
            }
            plan = *then;
        }
        match plan {
            Plan::Nothing => Ended::Told,
            Plan::Wait | Plan::GiveUp { .. } => Ended::Stale,
            Plan::Record { seq } => self.commit(self.record(&job, seq)).await,
            Plan::Send { seq, reason } => self.send(&job, seq, reason).await,
        }
    }

    async fn send(&self, job: &Job, seq: u64, reason: Reason) -> Ended {
        let mut valid_until = self.clock.monotonic() + self.peer_timeout;
        let intent = Command::Intent {
            leader: self.leader,
            key: job.key.clone(),
            seq,
            reason,
            content: job.content.clone(),
            valid_until: self.valid_until_ms(),
        };
        match self.commit(intent).await {
            Ended::Told => {}
            other => return other,
        }
        let integration = job.notifier.integration();
        let mut notification = job.notification.clone();
        notification.reason = reason;
        let nid = notification_id(&self.origin, &job.key, seq);
        match self.attempts(job, seq, &nid, &notification, &mut valid_until).await {
            Attempts::Accepted(outcome) => {
                self.metrics.notified(integration);
                self.report(job, seq, outcome).await
            }
            Attempts::GivenUp { unknown } => {
                let ended = self.commit(self.failed(job, seq, unknown)).await;
                if ended == Ended::Stopped { ended } else { Ended::Failed }
            }
            Attempts::Stopped => Ended::Stopped,
        }
    }

    async fn attempts(
        &self,
        job: &Job,
        seq: u64,
        nid: &str,
        notification: &Notification,
        valid_until: &mut Duration,
    ) -> Attempts {
        let give_up_at = self.clock.monotonic() + job.patience;
        let integration = job.notifier.integration();
        let (mut pause, mut unknown) = (BACKOFF_FIRST, false);
        loop {
            let Some(outcome) = self.attempt(job, seq, nid, notification, valid_until, give_up_at).await
            else {
                return self.stopped(integration, unknown);
            };
            let error = match outcome {
                Ok(outcome) => return Attempts::Accepted(outcome),
                Err(error) => error,
            };
            unknown |= error.sent == Sent::Maybe;
            let factor = 0.5 + self.random.next_unit();
            let wait = pause.mul_f64(factor).max(error.retry_after.unwrap_or_default());
            pause = pause.mul_f64(1.5).min(BACKOFF_MAX);
            if !error.retry || self.clock.monotonic() + wait >= give_up_at {
                tracing::warn!(
                    receiver = %job.key.receiver, integration, group = %job.key.group_key,
                    %error, unknown, "a notification failed; the group's next tick tries again"
                );
                self.metrics.failed(integration, error.reason);
                return Attempts::GivenUp { unknown };
            }
            tracing::debug!(receiver = %job.key.receiver, integration, %error, "an attempt failed");
            if !self.sleep(job, seq, valid_until, wait).await {
                return self.stopped(integration, unknown);
            }
        }
    }

    /// One attempt; `None` when it was not this node's to make.
    async fn attempt(
        &self,
        job: &Job,
        seq: u64,
        nid: &str,
        notification: &Notification,
        valid_until: &mut Duration,
        give_up_at: Duration,
    ) -> Option<Result<NotifyOutcome, NotifyError>> {
        if !self.may_send(*valid_until) && !self.renew(job, seq, valid_until).await {
            return None;
        }
        if !self.may_send(*valid_until) {
            return None;
        }
        let integration = job.notifier.integration();
        let started = self.clock.monotonic();
        self.metrics.requested(integration);
        let mut request = job.notifier.notify(nid, notification);
        let outcome = loop {
            let now = self.clock.monotonic();
            let end = (*valid_until).min(give_up_at);
            if now >= end {
                break Err(timed_out(now.saturating_sub(started)));
            }
            let check = (end - now).min(self.peer_timeout / 3);
            tokio::select! {
                biased;
                outcome = &mut request => break outcome,
                () = tokio::time::sleep(check) => {}
            }
            if self.renewal_is_due(*valid_until) {
                self.renew(job, seq, valid_until).await;
            }
        };
        self.metrics.requested_for(integration, self.clock.monotonic().saturating_sub(started));
        if outcome.is_err() {
            self.metrics.request_failed(integration);
        }
        Some(outcome)
    }

    /// Waits between attempts, renewing the announcement.
    async fn sleep(&self, job: &Job, seq: u64, valid_until: &mut Duration, wait: Duration) -> bool {
        let until = self.clock.monotonic() + wait;
        loop {
            let left = until.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return true;
            }
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep(left.min(self.peer_timeout / 3)) => {}
            }
            if self.renewal_is_due(*valid_until) && !self.renew(job, seq, valid_until).await {
                return false;
            }
        }
    }

    fn renewal_is_due(&self, valid_until: Duration) -> bool {
        valid_until.saturating_sub(self.clock.monotonic()) <= self.peer_timeout.mul_f64(0.4)
    }

    async fn renew(&self, job: &Job, seq: u64, valid_until: &mut Duration) -> bool {
        if self.stop.is_cancelled() {
            return false;
        }
        let asked = self.clock.monotonic();
        let renew = Command::Renew {
            leader: self.leader,
            key: job.key.clone(),
            seq,
            valid_until: self.valid_until_ms(),
        };
        // While nobody answers, the old announcement runs on: it must still end in time.
        let left = valid_until.saturating_sub(asked).max(Duration::from_millis(1));
        let renewed = tokio::time::timeout(left, self.proposer.propose(renew)).await;
        let renewed = matches!(renewed, Ok(Ok(Reply::Done)));
        if renewed {
            *valid_until = asked + self.peer_timeout;
        }
        renewed
    }

    fn may_send(&self, valid_until: Duration) -> bool {
        let lease = self.lease.as_ref().is_none_or(|lease| {
            let leads = lease.leading().borrow().is_some_and(|leading| leading.leader == self.leader);
            leads && lease.may_send()
        });
        lease && !self.stop.is_cancelled() && self.clock.monotonic() < valid_until
    }

    /// A leader leaves its announcement to the next one; a node that is cut off has none.
    fn stopped(&self, integration: &str, unknown: bool) -> Attempts {
        self.metrics.failed(integration, FailureReason::ContextCanceled);
        if self.lease.is_none() { Attempts::GivenUp { unknown } } else { Attempts::Stopped }
    }

    fn valid_until_ms(&self) -> i64 {
        self.clock.now_ms() + millis(self.peer_timeout)
    }

    fn failed(&self, job: &Job, seq: u64, unknown: bool) -> Command {
        let expires_at = self.clock.now_ms() + millis(job.keep);
        Command::Failed { leader: self.leader, key: job.key.clone(), seq, unknown, expires_at }
    }

    fn record(&self, job: &Job, seq: u64) -> Command {
        let at_ms = self.clock.now_ms();
        Command::Record {
            leader: self.leader,
            key: job.key.clone(),
            seq,
            content: job.content.clone(),
            at_ms,
            expires_at: at_ms + millis(job.keep),
        }
    }

    /// Commits what only this leader may commit. An unknown outcome is asked again: each of these commands
    /// is harmless twice, and a rejection of the repeated one makes the caller look at the state.
    async fn commit(&self, command: Command) -> Ended {
        let until = self.clock.monotonic() + self.peer_timeout;
        loop {
            match self.proposer.propose(command.clone()).await {
                Ok(Reply::Rejected(Rejection::NotLeader)) => return Ended::Stopped,
                Ok(Reply::Rejected(rejection)) => {
                    tracing::debug!(?rejection, "the state has moved on");
                    return Ended::Stale;
                }
                Ok(_) => return Ended::Told,
                Err(JournalError::Unknown(_)) if self.clock.monotonic() < until => {}
                Err(_) => return Ended::Stopped,
            }
            tokio::time::sleep(PROPOSE_PAUSE).await;
        }
    }

    /// Reports what the receiver accepted, through whoever leads by now.
    async fn report(&self, job: &Job, seq: u64, outcome: NotifyOutcome) -> Ended {
        let at_ms = self.clock.now_ms();
        let done = Command::Done {
            key: job.key.clone(),
            seq,
            at_ms,
            expires_at: at_ms + millis(job.keep),
            receiver_data: outcome.receiver_data,
        };
        let until = self.clock.monotonic() + REPORT_FOR;
        while self.clock.monotonic() < until {
            match self.proposer.propose(done.clone()).await {
                Ok(Reply::Rejected(_)) => return Ended::Stale,
                Ok(_) => return Ended::Told,
                Err(JournalError::Refused(_)) => break,
                Err(_) => tokio::time::sleep(PROPOSE_PAUSE).await,
            }
        }
        Ended::Stopped
    }
}

fn timed_out(after: Duration) -> NotifyError {
    NotifyError {
        retry: true,
        sent: Sent::Maybe,
        retry_after: None,
        reason: FailureReason::ContextDeadlineExceeded,
        message: format!("no answer after {} ms", after.as_millis()),
    }
}
