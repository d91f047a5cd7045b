//! Alerts that wait for one alertmanager: bounded, in order, one state an alert, kept on disk.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use model::Labels;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::NotifierError;
use crate::alert::{Alert, PostedAlert};
use crate::journal::{Event, Journal};

/// An alert with its place in the queue: a newer state takes a new number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) number: u64,
    pub(crate) alert: Alert,
}

#[derive(Debug)]
struct Waiting {
    journal: Journal,
    /// By place, oldest first.
    alerts: BTreeMap<u64, Alert>,
    places: HashMap<Labels, u64>,
    next: u64,
}

/// The queue of one alertmanager.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    capacity: usize,
    length: watch::Sender<usize>,
}

impl Queue {
    /// Opens the queue of `url`, with what an earlier life left undelivered.
    pub(crate) fn open(dir: &Path, url: &str, capacity: usize) -> Result<Self, NotifierError> {
        let (journal, events) =
            Journal::open(dir, url).map_err(|(path, source)| NotifierError::Journal { path, source })?;
        let mut waiting = Waiting { journal, alerts: BTreeMap::new(), places: HashMap::new(), next: 1 };
        for event in events {
            match event {
                Event::Put(alert) => waiting.put(alert.into(), capacity),
                Event::Done(alert) => waiting.remove(&Alert::from(alert).labels),
            };
        }
        let length = watch::channel(waiting.alerts.len()).0;
        Ok(Self { waiting: Mutex::new(waiting), capacity, length })
    }

    /// Queues alerts; tells how many had to be dropped for them.
    pub(crate) fn push(&self, alerts: Vec<Alert>) -> usize {
        if alerts.is_empty() {
            return 0;
        }
        let mut waiting = self.waiting.lock();
        let events: Vec<Event> = alerts.iter().map(|alert| Event::Put(PostedAlert::from(alert))).collect();
        waiting.record(&events);
        let dropped = alerts.into_iter().filter(|alert| waiting.put(alert.clone(), self.capacity)).count();
        self.length.send_replace(waiting.alerts.len());
        dropped
    }

    /// The oldest alerts, at most `count`; they stay until [`Queue::done`].
    pub(crate) fn oldest(&self, count: usize) -> Vec<Queued> {
        let waiting = self.waiting.lock();
        waiting
            .alerts
            .iter()
            .take(count)
            .map(|(&number, alert)| Queued { number, alert: alert.clone() })
            .collect()
    }

    /// These were delivered or given up; one that has a newer state by now stays.
    pub(crate) fn done(&self, delivered: &[Queued]) {
        let mut waiting = self.waiting.lock();
        let mut events = Vec::new();
        for queued in delivered {
            if waiting.places.get(&queued.alert.labels) == Some(&queued.number) {
                waiting.remove(&queued.alert.labels);
                events.push(Event::Done(PostedAlert::from(&queued.alert)));
            }
        }
        waiting.record(&events);
        self.length.send_replace(waiting.alerts.len());
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().alerts.len()
    }

    /// Resolves when something waits.
    pub(crate) async fn filled(&self) {
        // The sender lives as long as the queue.
        let _ = self.length.subscribe().wait_for(|length| *length > 0).await;
    }

    /// Resolves when nothing waits.
    pub(crate) async fn emptied(&self) {
        let _ = self.length.subscribe().wait_for(|length| *length == 0).await;
    }

    /// Forgets everything; tells how much it was.
    pub(crate) fn discard(&self) -> usize {
        let mut waiting = self.waiting.lock();
        let count = waiting.alerts.len();
        waiting.alerts.clear();
        waiting.places.clear();
        if let Err(error) = waiting.journal.remove() {
            tracing::warn!(%error, "a notification journal could not be removed");
        }
        self.length.send_replace(0);
        count
    }
}

impl Waiting {
    /// Puts an alert at the end; `true` when another had to be dropped for it.
    fn put(&mut self, alert: Alert, capacity: usize) -> bool {
        self.remove(&alert.labels);
        let full = self.alerts.len() >= capacity.max(1);
        if full {
            // A resolved alert that nobody heard of is missed least.
            let resolved = self
                .alerts
                .iter()
                .find(|(_, waiting)| waiting.ends_at_ms <= alert.starts_at_ms.max(waiting.starts_at_ms));
            let victim =
                resolved.or_else(|| self.alerts.iter().next()).map(|(_, waiting)| waiting.labels.clone());
            if let Some(labels) = victim {
                self.remove(&labels);
            }
        }
        self.places.insert(alert.labels.clone(), self.next);
        self.alerts.insert(self.next, alert);
        self.next += 1;
        full
    }

    fn remove(&mut self, labels: &Labels) -> bool {
        self.places.remove(labels).is_some_and(|place| self.alerts.remove(&place).is_some())
    }

    /// Writes events to the journal. A disk that refuses costs durability, never delivery.
    fn record(&mut self, events: &[Event]) {
        let written = if self.journal.is_long() {
            let live: Vec<Event> =
                self.alerts.values().map(|alert| Event::Put(PostedAlert::from(alert))).collect();
            let rewritten = self.journal.rewrite(live.iter().chain(events));
            // Where there is no room for a second file there may be some in the first.
            rewritten.or_else(|_| self.journal.append(events))
        } else {
            self.journal.append(events)
        };
        if let Err(error) = written {
            tracing::warn!(%error, "alerts are queued in memory only: the notification journal cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(name: &str, ends_at_ms: i64) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Labels::empty(),
            starts_at_ms: 1_000,
            ends_at_ms,
            generator_url: String::new(),
        }
    }

    fn names(queue: &Queue) -> Vec<String> {
        queue
            .oldest(100)
            .into_iter()
            .map(|queued| queued.alert.labels.value("alertname").to_owned())
            .collect()
    }

    fn open(dir: &Path, capacity: usize) -> Queue {
        Queue::open(dir, "http://am/", capacity).expect("opened")
    }

    #[test]
    fn the_newest_state_of_an_alert_waits_and_survives() {
        let dir = tempfile::tempdir().expect("a folder");
        let queue = open(dir.path(), 10);
        queue.push(vec![alert("a", 2_000), alert("b", 2_000)]);
        let sent = queue.oldest(1);
        queue.push(vec![alert("a", 1_500)]);
        queue.done(&sent);
        assert_eq!(names(&queue), ["b", "a"], "a was replaced while it was on its way, so it stays");
        drop(queue);
        let again = open(dir.path(), 10);
        assert_eq!(names(&again), ["b", "a"]);
        assert_eq!(again.oldest(2)[1].alert.ends_at_ms, 1_500);
        again.done(&again.oldest(2));
        assert!(names(&open(dir.path(), 10)).is_empty());
    }

    #[test]
    fn a_full_queue_drops_the_oldest() {
        let dir = tempfile::tempdir().expect("a folder");
        let queue = open(dir.path(), 2);
        assert_eq!(queue.push(vec![alert("a", 9_000), alert("b", 9_000), alert("c", 9_000)]), 1);
        assert_eq!(names(&queue), ["b", "c"]);
    }

    #[test]
    fn a_disk_that_refuses_costs_no_delivery_and_is_used_again() {
        let dir = tempfile::tempdir().expect("a folder");
        // A file stands where the folder belongs: nothing can be made there, whoever asks.
        let place = dir.path().join("data");
        std::fs::write(&place, "").expect("written");
        let queue = open(&place, 9);
        queue.push(vec![alert("a", 1)]);
        assert_eq!(names(&queue), ["a"]);
        std::fs::remove_file(&place).expect("removed");
        queue.push(vec![alert("b", 1)]);
        assert_eq!(names(&open(&place, 9)), ["b"], "what was queued before is in memory only");
        assert_eq!(names(&queue), ["a", "b"]);
    }

    #[test]
    fn a_torn_or_damaged_line_costs_only_itself() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path(), 9).push(vec![alert("a", 1), alert("b", 1), alert("c", 1)]);
        let path =
            std::fs::read_dir(dir.path()).expect("listed").next().expect("one").expect("readable").path();
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[20] ^= 1;
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, &bytes).expect("written");
        let queue = open(dir.path(), 9);
        assert_eq!(names(&queue), ["b"]);
        queue.push(vec![alert("d", 1)]);
        assert_eq!(names(&open(dir.path(), 9)), ["b", "d"]);
    }

    #[test]
    fn the_journal_is_written_anew_before_it_grows_without_end() {
        let dir = tempfile::tempdir().expect("a folder");
        let queue = open(dir.path(), 9);
        for _ in 0..20_000 {
            queue.push(vec![alert("a", 1)]);
        }
        let path =
            std::fs::read_dir(dir.path()).expect("listed").next().expect("one").expect("readable").path();
        assert!(std::fs::metadata(&path).expect("there").len() < 3 << 20);
        assert_eq!(names(&open(dir.path(), 9)), ["a"]);
    }
}
