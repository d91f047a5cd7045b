//! Notifications and the trait behind which receivers are reached.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::Labels;
use sha2::{Digest, Sha256};

use crate::alert::{Alert, Fingerprint};
use crate::command::{NotifyKey, Reason};

/// One alert of a notification.
#[derive(Clone, Debug)]
pub struct NotifyAlert {
    /// The alert.
    pub alert: Arc<Alert>,
    /// It is over.
    pub resolved: bool,
}

impl NotifyAlert {
    /// The alert's identity.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.alert.fingerprint()
    }

    /// `firing` or `resolved`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.resolved { "resolved" } else { "firing" }
    }
}

/// What a receiver is told about a group.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The receiver's name.
    pub receiver: Arc<str>,
    /// The group, as Alertmanager writes it.
    pub group_key: Arc<str>,
    /// Why it is sent.
    pub reason: Reason,
    /// Labels that the group is made by.
    pub group_labels: Labels,
    /// Labels of the route.
    pub route_labels: BTreeMap<String, String>,
    /// Where this alertmanager is reached.
    pub external_url: String,
    /// The alerts in order of job, instance and labels.
    pub alerts: Vec<NotifyAlert>,
    /// What the integration remembered from the last notification.
    pub receiver_data: Vec<(String, String)>,
}

impl Notification {
    /// `firing` while any alert fires, else `resolved`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.alerts.iter().any(|alert| !alert.resolved) { "firing" } else { "resolved" }
    }

    /// Labels that all alerts share.
    #[must_use]
    pub fn common_labels(&self) -> BTreeMap<&str, &str> {
        common(self.alerts.iter().map(|it| it.alert.labels.pairs().collect()))
    }

    /// Annotations that all alerts share.
    #[must_use]
    pub fn common_annotations(&self) -> BTreeMap<&str, &str> {
        common(self.alerts.iter().map(|it| {
            it.alert.annotations.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
        }))
    }
}

fn common<'a>(mut sets: impl Iterator<Item = BTreeMap<&'a str, &'a str>>) -> BTreeMap<&'a str, &'a str> {
    let mut common = sets.next().unwrap_or_default();
    for set in sets {
        common.retain(|name, value| set.get(name) == Some(value));
        if common.is_empty() {
            break;
        }
    }
    common
}

/// A receiver accepted a notification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifyOutcome {
    /// What to remember for the next one.
    pub receiver_data: Vec<(String, String)>,
}

/// Whether a receiver can have got a notification that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It answered no, or nothing left this host.
    No,
    /// It may have.
    Maybe,
}

/// Why a notification failed, as Alertmanager counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureReason {
    /// The receiver refused it (4xx).
    ClientError,
    /// The receiver failed (5xx).
    ServerError,
    /// It did not let us in (401, 403).
    AuthError,
    /// It wants less (429).
    RateLimited,
    /// It was stopped.
    ContextCanceled,
    /// It took too long.
    ContextDeadlineExceeded,
    /// Anything else.
    Other,
}

impl FailureReason {
    pub(crate) const ALL: [Self; 7] = [
        Self::Other,
        Self::ClientError,
        Self::ServerError,
        Self::ContextCanceled,
        Self::ContextDeadlineExceeded,
        Self::AuthError,
        Self::RateLimited,
    ];

    /// As the metric's label spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientError => "clientError",
            Self::ServerError => "serverError",
            Self::AuthError => "authError",
            Self::RateLimited => "rateLimited",
            Self::ContextCanceled => "contextCanceled",
            Self::ContextDeadlineExceeded => "contextDeadlineExceeded",
            Self::Other => "other",
        }
    }
}

/// A notification was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotifyError {
    /// Trying again can help.
    pub retry: bool,
    /// Whether the receiver can have got it.
    pub sent: Sent,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
    /// The kind of failure.
    pub reason: FailureReason,
    /// What happened, naming the receiver.
    pub message: String,
}

/// One integration of one receiver.
pub trait Notifier: Send + Sync {
    /// The integration's name, such as `webhook`.
    fn integration(&self) -> &'static str;

    /// Its position among the receiver's integrations of that name.
    fn index(&self) -> u32;

    /// Whether it wants to hear of alerts that are over.
    fn send_resolved(&self) -> bool;

    /// Sends once. The caller drops the future when the time that it may take is over; `nid` identifies
    /// the notification across attempts and leaders.
    fn notify<'a>(
        &'a self,
        nid: &'a str,
        notification: &'a Notification,
    ) -> BoxFuture<'a, Result<NotifyOutcome, NotifyError>>;
}

/// The identity of one notification: 64 hexadecimal digits.
#[must_use]
pub fn notification_id(origin: &str, key: &NotifyKey, seq: u64) -> String {
    let text = format!("{origin}|{}|{}|{}|{}|{seq}", key.group_key, key.receiver, key.integration, key.index);
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Order of alerts inside a notification: job, instance, then all labels.
pub(crate) fn sort_alerts(alerts: &mut [NotifyAlert]) {
    let key = |it: &NotifyAlert| {
        (it.alert.labels.value("job").to_owned(), it.alert.labels.value("instance").to_owned())
    };
    alerts.sort_by_cached_key(|it| (key(it), it.alert.labels.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_origin_key_and_sequence_apart() {
        let key = NotifyKey {
            group_key: Arc::from("{}:{}"),
            receiver: Arc::from("r"),
            integration: Arc::from("webhook"),
            index: 0,
        };
        let ids = [
            notification_id("c", &key, 1),
            notification_id("c", &key, 2),
            notification_id("d", &key, 1),
            notification_id("c", &NotifyKey { index: 1, ..key.clone() }, 1),
        ];
        assert!(ids.iter().all(|id| id.len() == 64));
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len());
        assert_eq!(ids[0], notification_id("c", &key, 1));
    }

    #[test]
    fn common_is_what_all_have() {
        let sets = [vec![("a", "1"), ("b", "2")], vec![("a", "1"), ("b", "3")]];
        assert_eq!(common(sets.into_iter().map(BTreeMap::from_iter)), BTreeMap::from([("a", "1")]));
        assert!(common(std::iter::empty()).is_empty());
    }
}
