//! Behind the log: sealed windows that hold what this replica lacks are copied from the twin, newest first, one at a
//! time, some of it after each digest, so that nothing fresh waits for it. A cut costs at most one group.

pub(crate) mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use storage::{IntervalSet, StreamId, WindowCopy, WindowError, WindowGroup, WindowInfo, WindowValue};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::Pair;
use crate::digest::{Digest, StreamDigest};
use crate::wire::Twin;

/// Windows asked for at once: the newest are copied before it is asked what is lacking then.
const LISTED: u32 = 16;
/// The twin has so long to name windows, and to begin to send one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Nothing is copied for so long after this store could not take a window, as with a full disk, and what the twin
/// did not have is not asked for again.
const PAUSE: Duration = Duration::from_secs(30);

/// A group and its values, as they crossed the wire.
pub(crate) struct Copied {
    pub(crate) group: WindowGroup,
    pub(crate) values: Vec<WindowValue>,
}

/// Why a window did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is not there any more as it was told.
    Changed,
    /// It is damaged there, or here on the way.
    Damaged(String),
    /// The connection, or the twin's disk: tried again once it answers.
    Link(String),
    /// This store cannot take it now: tried again after a while.
    Here(String),
}

impl From<WindowError> for Failure {
    fn from(error: WindowError) -> Self {
        match error {
            WindowError::Changed(_) => Self::Changed,
            WindowError::Damaged { .. } => Self::Damaged(error.to_string()),
            WindowError::Unavailable(why) => Self::Here(why),
        }
    }
}

/// How far copying has come; it outlives connections.
#[derive(Default)]
pub(crate) struct Copies {
    planned: VecDeque<WindowInfo>,
    current: Option<Current>,
    /// A window that is being written, and its start.
    finishing: Option<(i64, JoinHandle<Result<(), WindowError>>)>,
    vain: Option<Vain>,
    /// Windows that were damaged, and the twin's version then.
    damaged: BTreeMap<i64, u64>,
    paused_until: Option<Instant>,
    /// The twin's deletions and ours, when they were last compared.
    deletions: Option<(u64, u64)>,
}

/// Frames that no window of the twin's held.
struct Vain {
    version: u64,
    lacking: Lacking,
    /// So long that is believed.
    until: Instant,
}

/// Frames of each stream.
type Lacking = Vec<(StreamId, IntervalSet)>;

/// The window that is being copied.
struct Current {
    info: WindowInfo,
    copy: Box<dyn WindowCopy>,
    /// The generation that comes next, and its last group that is here.
    generation: usize,
    after: Option<u32>,
}

/// Frames that the twin has and keeps in no log: behind it.
pub(crate) fn behind(ours: &[StreamDigest], theirs: &[StreamDigest]) -> Lacking {
    let empty = IntervalSet::new();
    let lacking = theirs.iter().map(|twin| {
        let own = ours.iter().find(|own| own.info.id == twin.info.id);
        let lacking = twin.received.difference(own.map_or(&empty, |own| &own.received));
        (twin.info.id.clone(), lacking.difference(&twin.held))
    });
    lacking.filter(|(_, lacking)| !lacking.is_empty()).collect()
}

impl Pair {
    /// Puts the twin's deletions in force here, before windows come that they hide some of.
    pub(crate) async fn copy_deletions(
        &self,
        twin: &mut Twin,
        theirs: &Digest,
        copies: &mut Copies,
    ) -> Result<(), String> {
        let compared = (theirs.deletions_version, self.store.deletions_version());
        // Where both were compared as they are, what differs is past retention at one, or too much.
        if compared.0 == compared.1 || copies.deletions == Some(compared) {
            return Ok(());
        }
        let told = timeout(ANSWER_TIMEOUT, twin.deletions()).await;
        let told = match told.map_err(|_| "no answer to which deletions there are".to_owned())? {
            Ok(told) => told,
            Err(Failure::Link(why)) => return Err(why),
            Err(_) => Vec::new(),
        };
        for deletion in told {
            if let Err(error) = self.store.take_deletion(&deletion) {
                tracing::warn!(%error, "a deletion of the twin's is not in force here");
                return Ok(());
            }
        }
        copies.deletions = Some((theirs.deletions_version, self.store.deletions_version()));
        Ok(())
    }

    /// Copies some of what is lacking, for at most the time between two digests.
    pub(crate) async fn copy_some(
        &self,
        twin: &mut Twin,
        theirs: &Digest,
        lacking: Lacking,
        copies: &mut Copies,
    ) -> Result<(), String> {
        let count: u64 = lacking.iter().map(|(_, set)| set.count()).sum();
        self.metrics.behind.set(i64::try_from(count).unwrap_or(i64::MAX));
        let now = Instant::now();
        if copies.paused_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let until = now + self.options.interval;
        let mut left = self.options.copy_rate.saturating_mul(self.options.interval.as_millis() as u64) / 1000;
        while left > 0 && Instant::now() < until {
            if !self.finished(theirs, copies, until).await {
                return Ok(());
            }
            if copies.current.is_none() {
                match self.begin(twin, theirs, &lacking, copies).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(Failure::Link(why)) => return Err(why),
                    Err(failed) => {
                        self.give_up(0, &failed, theirs, copies);
                        return Ok(());
                    }
                }
            }
            let Some(current) = copies.current.as_mut() else { return Ok(()) };
            match self.copy_generation(twin, current, &mut left, until).await {
                Ok(false) => return Ok(()),
                Ok(true) => self.finish(copies),
                // What is here of the window stays.
                Err(Failure::Link(why)) => return Err(why),
                Err(failed) => {
                    let start = current.info.start;
                    self.give_up(start, &failed, theirs, copies);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether no window is being written any more; it is waited for as long as there is time.
    async fn finished(&self, theirs: &Digest, copies: &mut Copies, until: Instant) -> bool {
        let Some((start, handle)) = copies.finishing.as_mut() else { return true };
        let start = *start;
        let Ok(written) = timeout_at(until, handle).await else { return false };
        copies.finishing = None;
        match written {
            Ok(Ok(())) => {
                self.metrics.windows.inc();
            }
            Ok(Err(error)) => self.give_up(start, &error.into(), theirs, copies),
            Err(error) => tracing::error!(%error, window = start, "writing a copied window ended early"),
        }
        true
    }

    /// Lets a window be: another is tried, or the same after a while.
    fn give_up(&self, start: i64, why: &Failure, theirs: &Digest, copies: &mut Copies) {
        copies.current = None;
        copies.planned.clear();
        match why {
            Failure::Changed => return,
            Failure::Damaged(_) => {
                copies.damaged.insert(start, theirs.windows_version);
            }
            Failure::Link(_) | Failure::Here(_) => copies.paused_until = Some(Instant::now() + PAUSE),
        }
        self.metrics.window_failures.inc();
        tracing::warn!(
            window = start,
            ?why,
            "a window cannot be copied from the twin: others are, or it again later"
        );
    }

    /// Begins with the next window; whether there is one.
    async fn begin(
        &self,
        twin: &mut Twin,
        theirs: &Digest,
        lacking: &[(StreamId, IntervalSet)],
        copies: &mut Copies,
    ) -> Result<bool, Failure> {
        let version = theirs.windows_version;
        let is_vain = |copies: &Copies| {
            let vain = copies.vain.as_ref();
            vain.is_some_and(|vain| {
                vain.version == version && vain.lacking == lacking && Instant::now() < vain.until
            })
        };
        if copies.planned.is_empty() {
            if lacking.is_empty() || is_vain(copies) {
                return Ok(false);
            }
            let told = timeout(ANSWER_TIMEOUT, twin.windows(lacking, LISTED)).await;
            let told =
                told.map_err(|_| Failure::Link("no answer to which windows there are".to_owned()))??;
            copies.damaged.retain(|_, then| *then == version);
            let is_wanted = |info: &WindowInfo| {
                self.store.takes_window(info.start) && !copies.damaged.contains_key(&info.start)
            };
            copies.planned = told.into_iter().filter(is_wanted).collect();
            if copies.planned.is_empty() {
                copies.vain =
                    Some(Vain { version, lacking: lacking.to_vec(), until: Instant::now() + PAUSE });
                return Ok(false);
            }
        }
        while let Some(info) = copies.planned.pop_front() {
            let is_new = |(stream, frames): &(StreamId, IntervalSet)| {
                !frames.difference(&self.store.received(stream)).is_empty()
            };
            if !info.frames.iter().any(is_new) || !self.store.takes_window(info.start) {
                continue;
            }
            for stream in theirs.streams.iter().map(|digest| &digest.info) {
                self.store.open_stream(stream.clone()).map_err(|error| Failure::Here(error.to_string()))?;
            }
            let copy = self.store.copy_window(info.clone())?;
            copies.current = Some(Current { info, copy, generation: 0, after: None });
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes groups of the window at hand; whether all are here.
    async fn copy_generation(
        &self,
        twin: &mut Twin,
        current: &mut Current,
        left: &mut u64,
        until: Instant,
    ) -> Result<bool, Failure> {
        let late = |_| Failure::Link("the twin sends no more of a window".to_owned());
        while let Some(&generation) = current.info.generations.get(current.generation) {
            let asked = twin.copy(current.info.start, generation, current.after);
            let mut groups = timeout(ANSWER_TIMEOUT, asked).await.map_err(late)??;
            loop {
                let next = timeout_at(until + ANSWER_TIMEOUT, groups.next()).await.map_err(late)??;
                let Some(Copied { group, values }) = next else { break };
                let bytes: u64 = values.iter().map(|value| value.bytes.len() as u64).sum();
                let number = group.number;
                current.copy.take(generation, group, values)?;
                current.after = Some(number);
                self.metrics.window_bytes.inc_by(bytes);
                *left = left.saturating_sub(bytes);
                if *left == 0 || Instant::now() >= until {
                    return Ok(false);
                }
            }
            current.generation += 1;
            current.after = None;
        }
        Ok(true)
    }

    /// Writes the window that is here, beside everything else.
    fn finish(&self, copies: &mut Copies) {
        let Some(Current { info, copy, .. }) = copies.current.take() else { return };
        let handle = self.tasks.spawn_blocking(move || copy.finish());
        copies.finishing = Some((info.start, handle));
    }
}
