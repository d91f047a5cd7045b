//! From a pair's rules to the alertmanager of this node: alerts are told until they are known.

use std::sync::Arc;
use std::time::Duration;

use agent::rules_status::with_external;
use alertmanager::{Alertmanager, Fingerprint, SharedState, State};
use env::Tasks;
use model::Labels;
use parking_lot::RwLock;
use rules::{Alert, AlertSink};
use storage::BoxFuture;

/// Posts of one batch of alerts, at most; the rules send what is left again.
const POSTS_MAX: usize = 30;
/// Time between two posts.
const POST_PAUSE: Duration = Duration::from_secs(1);

/// Who is told of alerts, and what they know already.
pub(crate) trait Told: Send + Sync + 'static {
    /// Whether the alerts were taken.
    fn post<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, bool>;

    /// Whether an alert's end need not be told, being known.
    fn knows_end(&self, alert: &Alert) -> bool;

    /// Whether the alert that this end belongs to is still shown as going on.
    fn goes_on(&self, alert: &Alert) -> bool;
}

/// Sends a pair's alerts to this node's alertmanager, which any node of the cluster may send from.
pub(crate) struct ToPair {
    told: Arc<dyn Told>,
    external: RwLock<Labels>,
    tasks: Tasks,
}

impl ToPair {
    pub(crate) fn new(told: Arc<dyn Told>, external: Labels, tasks: Tasks) -> Self {
        Self { told, external: RwLock::new(external), tasks }
    }

    /// An alert's labels as they are told.
    pub(crate) fn told_labels(&self, labels: &Labels) -> Labels {
        with_external(labels, &self.external.read())
    }

    /// Labels that alerts get from now on.
    pub(crate) fn set_external(&self, external: Labels) {
        *self.external.write() = external;
    }
}

impl AlertSink for ToPair {
    fn send(&self, alerts: Vec<Alert>) {
        let alerts: Vec<Alert> = alerts
            .into_iter()
            .map(|alert| Alert { labels: self.told_labels(&alert.labels), ..alert })
            .filter(|alert| !alert.resolved || !self.told.knows_end(alert))
            .collect();
        if alerts.is_empty() {
            return;
        }
        let (told, tasks) = (self.told.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = tell(&*told, alerts) => {}
                () = tasks.stopping() => {}
            }
        });
    }
}

/// Posts alerts until they are taken. An end is told again while the alertmanager still shows the alert
/// that it ends: a post may be lost with the leader that took it, or overtaken by an older one.
async fn tell(told: &dyn Told, mut alerts: Vec<Alert>) {
    for _ in 0..POSTS_MAX {
        let taken = told.post(&alerts).await;
        tokio::time::sleep(POST_PAUSE).await;
        if taken {
            alerts.retain(|alert| alert.resolved && told.goes_on(alert));
        }
        if alerts.is_empty() {
            return;
        }
    }
    tracing::warn!(alerts = alerts.len(), "the alertmanager did not take alerts; they are sent again");
}

/// This node's alertmanager, and the state that it shares with the cluster.
pub(crate) struct Known {
    pub(crate) alertmanager: Alertmanager,
    pub(crate) state: SharedState,
}

impl Told for Known {
    fn post<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let taken = self.alertmanager.receive(alerts.iter().map(said).collect()).await;
            if let Err(error) = &taken {
                tracing::debug!(%error, "the alertmanager did not take alerts");
            }
            taken.is_ok()
        })
    }

    /// Both replicas tell of an alert's end, and again when one takes over from the other: once it is
    /// known, telling it anew would page anew. What is not known here at all is told: this node's state may
    /// be behind, and an end that nobody was told the beginning of pages nobody.
    fn knows_end(&self, alert: &Alert) -> bool {
        let known = |state: &State| {
            let known = state.alert(Fingerprint::of(&alert.labels));
            known.is_some_and(|known| known.ends_at <= alert.ends_at_ms)
        };
        // Cut off from the quorum, what is known is in the overlay and not in the replicated state.
        !self.alertmanager.is_degraded() && self.state.read(known)
    }

    fn goes_on(&self, alert: &Alert) -> bool {
        self.state.read(|state| {
            let known = state.alert(Fingerprint::of(&alert.labels));
            known.is_some_and(|known| {
                // One that began after this end is another alert.
                known.ends_at > alert.ends_at_ms && known.starts_at <= alert.ends_at_ms
            })
        })
    }
}

/// An alert as the alertmanager takes it. The evaluation's time orders what both replicas say, however long
/// a post was under way.
fn said(alert: &Alert) -> alertmanager::Alert {
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    alertmanager::Alert {
        labels: alert.labels.clone(),
        annotations: alert.annotations.pairs().map(text).collect(),
        generator_url: alert.generator_url.clone(),
        starts_at: alert.starts_at_ms,
        ends_at: alert.ends_at_ms,
        updated_at: alert.said_at_ms,
        timeout: false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use parking_lot::Mutex;

    use super::*;

    /// Answers posts as it was told to, and forgets an alert once it has taken its end often enough.
    #[derive(Default)]
    struct Fake {
        /// Answers to the first posts; later ones are taken.
        answers: Mutex<VecDeque<bool>>,
        posts: Mutex<Vec<Vec<Labels>>>,
        /// Taken ends after which an alert no longer goes on.
        ends_needed: usize,
        knows_ends: bool,
    }

    impl Told for Fake {
        fn post<'a>(&'a self, alerts: &'a [Alert]) -> BoxFuture<'a, bool> {
            self.posts.lock().push(alerts.iter().map(|alert| alert.labels.clone()).collect());
            let taken = self.answers.lock().pop_front().unwrap_or(true);
            Box::pin(async move { taken })
        }

        fn knows_end(&self, _: &Alert) -> bool {
            self.knows_ends
        }

        fn goes_on(&self, _: &Alert) -> bool {
            self.posts.lock().len() < self.ends_needed
        }
    }

    fn alert(name: &str, resolved: bool) -> Alert {
        Alert {
            labels: Labels::from_pairs([("alertname", name)]),
            annotations: Labels::empty(),
            starts_at_ms: 1_000,
            ends_at_ms: 2_000,
            generator_url: String::new(),
            resolved,
            said_at_ms: 2_000,
        }
    }

    fn names(fake: &Fake) -> Vec<String> {
        let posts = fake.posts.lock();
        posts.iter().map(|post| post.iter().map(|labels| labels.value("alertname")).collect()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_taken_is_told_again() {
        let fake = Fake { answers: Mutex::new([false, false].into()), ..Fake::default() };
        tell(&fake, vec![alert("A", false)]).await;
        assert_eq!(names(&fake), ["A", "A", "A"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_told_until_the_alert_is_over() {
        let fake = Fake { ends_needed: 3, ..Fake::default() };
        tell(&fake, vec![alert("F", false), alert("R", true)]).await;
        assert_eq!(names(&fake), ["FR", "R", "R"], "what fires is told once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_left_to_the_rules() {
        let fake = Fake { answers: Mutex::new(vec![false; 100].into()), ..Fake::default() };
        tell(&fake, vec![alert("A", false)]).await;
        assert_eq!(names(&fake).len(), POSTS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_known_end_is_not_told_and_external_labels_are_added() {
        let tasks = Tasks::new();
        let fake = Arc::new(Fake { knows_ends: true, ..Fake::default() });
        let sink = ToPair::new(fake.clone(), Labels::empty(), tasks.clone());
        sink.set_external(Labels::from_pairs([("pair", "x"), ("alertname", "never")]));
        sink.send(vec![alert("R", true)]);
        sink.send(vec![alert("F", false), alert("R", true)]);
        while fake.posts.lock().is_empty() {
            tokio::task::yield_now().await;
        }
        tasks.shutdown(Duration::from_secs(60)).await.expect("it stops");
        let posts = fake.posts.lock().clone();
        assert_eq!(posts, [[Labels::from_pairs([("alertname", "F"), ("pair", "x")])]]);
    }
}
