//! The loop: digest, compare, pull.

use std::collections::BTreeSet;
use std::time::Duration;

use storage::{Frame, IntervalSet, Receipt, StreamId, StreamInfo};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Pair;
use crate::digest::{Digest, diverged, missing};
use crate::view::TwinView;
use crate::windows::{Copies, behind};
use crate::wire::{Part, Twin};

/// A twin that takes longer for an answer counts as silent.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// A pull that gives nothing for so long is given up and tried again with the next digest.
const PULL_TIMEOUT: Duration = Duration::from_secs(30);
/// Frames asked for in one pull, at most: between pulls the twin is asked anew what is newest.
const PULL_FRAMES_MAX: u64 = 4096;

impl Pair {
    /// Exchanges digests for ever.
    pub(crate) async fn run(&self) {
        let mut ticks = interval(self.options.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut twin = None;
        let mut copies = Copies::default();
        let mut silent = false;
        loop {
            ticks.tick().await;
            match self.exchange(&mut twin, &mut copies).await {
                Ok(()) => {
                    if std::mem::take(&mut silent) {
                        tracing::info!(twin = %self.options.twin, "the twin answers again");
                    }
                    self.metrics.exchanges.inc();
                    self.metrics.twin_heard.set(1);
                }
                Err(why) => {
                    twin = None;
                    if !std::mem::replace(&mut silent, true) {
                        tracing::warn!(twin = %self.options.twin, endpoint = %self.options.endpoint, %why, "the twin does not answer");
                    }
                    self.metrics.exchange_failures.inc();
                    self.metrics.twin_heard.set(0);
                }
            }
        }
    }

    /// One digest there and back, then one round of pulls, then some of what is behind the log.
    async fn exchange(&self, connection: &mut Option<Twin>, copies: &mut Copies) -> Result<(), String> {
        if connection.is_none() {
            *connection = Some(Twin::connect(&self.options.endpoint, self.options.tls.as_ref()).await?);
        }
        let Some(twin) = connection.as_mut() else { return Ok(()) };
        let ours = self.digest();
        let answer = timeout(ANSWER_TIMEOUT, twin.digest(&ours)).await;
        let theirs = answer.map_err(|_| "no answer in time".to_owned())??;
        self.heard(&theirs)?;
        let hash = |stream: &StreamId, seq| self.hashes.of(&*self.store, stream, seq);
        let forked: BTreeSet<&StreamId> =
            diverged(&ours.streams, &theirs.streams, hash).into_iter().collect();
        self.hashes.retain(&ours.streams, &theirs.streams);
        for stream in &forked {
            tracing::error!(%stream, "the twin holds other frames under the same names: two machines continue one stream");
        }
        self.metrics.diverged.set(i64::try_from(forked.len()).unwrap_or(i64::MAX));
        let lacking = missing(&ours.streams, &theirs.streams);
        let count: u64 = lacking.iter().map(|(_, set)| set.count()).sum();
        self.metrics.missing.set(i64::try_from(count).unwrap_or(i64::MAX));
        let mut behind = behind(&ours.streams, &theirs.streams);
        for (info, set) in lacking {
            let asked = self.pull(twin, &info, &set).await?;
            // What the twin's log should have and does not give may be in its blocks.
            let not_given = asked.difference(&self.store.received(&info.id));
            match behind.iter_mut().find(|(stream, _)| *stream == info.id) {
                Some((_, frames)) => frames.union(&not_given),
                None if not_given.is_empty() => {}
                None => behind.push((info.id, not_given)),
            }
        }
        self.copy_deletions(twin, &theirs, copies).await?;
        self.copy_some(twin, &theirs, behind, copies).await
    }

    /// What this replica tells now.
    pub(crate) fn digest(&self) -> Digest {
        Digest {
            replica: self.options.replica.clone(),
            clock_ms: self.clock.now_ms(),
            streams: self.hashes.streams(&*self.store),
            agents: self.local.agents(),
            config_hash: self.local.config_hash(),
            floor_ms: self.store.floor_ms(),
            windows_version: self.store.windows_version(),
            deletions_version: self.store.deletions_version(),
        }
    }

    /// Takes note of what the twin said, in its answer or its own call.
    pub(crate) fn heard(&self, theirs: &Digest) -> Result<(), String> {
        if theirs.replica == self.options.replica {
            return Err(format!("{} answers under our own name {:?}", self.options.endpoint, theirs.replica));
        }
        let same_config = theirs.config_hash == self.local.config_hash();
        let differed_before = self.view.last().is_some_and(|last| !last.same_config);
        if !same_config && !differed_before {
            tracing::warn!(twin = %theirs.replica, "the twin has other rules or external labels: make both files alike");
        }
        self.local.learn(&theirs.agents);
        self.store.twin_floor(theirs.floor_ms);
        self.view.update(TwinView {
            replica: theirs.replica.clone(),
            agents: theirs.agents.clone(),
            same_config,
            floor_ms: theirs.floor_ms,
            heard: self.clock.monotonic(),
        });
        Ok(())
    }

    /// Copies frames of one stream, as many as one pull may have; gives those that were asked for.
    async fn pull(
        &self,
        twin: &mut Twin,
        info: &StreamInfo,
        lacking: &IntervalSet,
    ) -> Result<IntervalSet, String> {
        self.store.open_stream(info.clone()).map_err(|error| error.to_string())?;
        let asked = first_frames(lacking, PULL_FRAMES_MAX);
        let mut parts = timeout(ANSWER_TIMEOUT, twin.pull(&info.id, &asked))
            .await
            .map_err(|_| format!("no answer to a pull of {}", info.id))??;
        while let Some(part) = timeout(PULL_TIMEOUT, parts.next())
            .await
            .map_err(|_| format!("a pull of {} stands still", info.id))??
        {
            match part {
                Part::Stream(info) => self.store.open_stream(info).map_err(|error| error.to_string())?,
                Part::Layout(layout) => self.store.add_layout(layout).map_err(|error| error.to_string())?,
                Part::Frames(frames) => frames.into_iter().try_for_each(|frame| self.take(frame))?,
                Part::Gone(gone) => {
                    tracing::info!(stream = %info.id, frames = %gone, "the twin no longer keeps these");
                }
            }
        }
        Ok(asked)
    }

    fn take(&self, frame: Frame) -> Result<(), String> {
        self.metrics.pulled.inc();
        let key = frame.key().clone();
        match self.store.append(frame) {
            Ok(Receipt::Appended(_)) => {
                self.metrics.appended.inc();
                Ok(())
            }
            Ok(Receipt::Duplicate(_)) => Ok(()),
            Ok(Receipt::NeedLayout(id)) => {
                Err(format!("the twin sent frame {} of {} without layout {id}", key.seq, key.stream))
            }
            // Both branches stay where they are; the agent goes on in a new epoch.
            Ok(Receipt::Clone { .. }) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The first frames of a set, at most `count`.
fn first_frames(set: &IntervalSet, count: u64) -> IntervalSet {
    let mut left = count;
    let mut out = IntervalSet::new();
    for range in set.ranges() {
        if left == 0 {
            break;
        }
        let (first, last) = range.into_inner();
        let last = last.min(first.saturating_add(left - 1));
        left -= last - first + 1;
        out.insert_range(first..=last);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_bounded() {
        let set = IntervalSet::from_iter([1..=3, 10..=99]);
        assert_eq!(first_frames(&set, 5).to_string(), "1..3,10..11");
        assert_eq!(first_frames(&set, 1_000), set);
        assert_eq!(first_frames(&IntervalSet::from_iter([0..=u64::MAX]), 2).to_string(), "0..1");
    }
}
