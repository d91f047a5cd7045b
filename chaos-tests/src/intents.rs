//! What a dead leader had announced and not finished, from its own log; and all that a log says of a group.

use std::collections::BTreeSet;
use std::path::Path;

use alertmanager::{Alert, Command, NotifyKey};
use anyhow::{Context as _, Result};

/// Announced notifications without an end, by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Those that have a firing alert.
    pub firing: usize,
    /// Those whose alerts are all over.
    pub resolved: usize,
}

/// Reads the log in a node's storage folder; `part` is a piece of the group's key. The node must be dead.
///
/// # Errors
/// When there is no log, or a command in it cannot be read.
pub fn open_intents(storage: &Path, part: &str) -> Result<Open> {
    let mut announced: Vec<(NotifyKey, u64, bool)> = Vec::new();
    let mut ended: BTreeSet<(NotifyKey, u64)> = BTreeSet::new();
    for (index, _, bytes) in raft::read_log(&storage.join("raft"))? {
        let command = Command::decode(&bytes).with_context(|| format!("entry {index} is no command"))?;
        each(command, &mut |command| match command {
            Command::Intent { key, seq, content, .. } => {
                announced.push((key, seq, content.firing.is_empty()))
            }
            Command::Done { key, seq, .. } | Command::Failed { key, seq, unknown: false, .. } => {
                ended.insert((key, seq));
            }
            _ => {}
        });
    }
    let mut open = Open::default();
    for (key, seq, over) in announced {
        if key.group_key.contains(part) && !ended.contains(&(key, seq)) {
            if over { open.resolved += 1 } else { open.firing += 1 }
        }
    }
    Ok(open)
}

/// The story of one group in a dead node's log, a line for each word about it; `part` is a piece of the
/// group's key, and `is_member` tells its alerts.
///
/// # Errors
/// When there is no log, or a command in it cannot be read.
pub fn story(storage: &Path, part: &str, is_member: &dyn Fn(&Alert) -> bool) -> Result<String> {
    let mut lines = String::new();
    for (index, leader, bytes) in raft::read_log(&storage.join("raft"))? {
        let command = Command::decode(&bytes).with_context(|| format!("entry {index} is no command"))?;
        let mut line = |what: String| lines += &format!("  {index} (term {}) {what}\n", leader.term);
        let tell = |alert: &Alert| {
            let Alert { starts_at, ends_at, updated_at, generator_url, .. } = alert;
            format!("alert {starts_at}..{ends_at}, said {updated_at} by {generator_url}")
        };
        each(command, &mut |command| match command {
            Command::AlertUpsert(alerts) => {
                alerts.iter().filter(|alert| is_member(alert)).for_each(|alert| line(tell(alert)));
            }
            Command::MergeOverlay(overlay) => {
                let members = overlay.alerts.iter().filter(|alert| is_member(alert));
                members.for_each(|alert| line(format!("from an overlay: {}", tell(alert))));
            }
            Command::TouchBatch { at_ms, ends } => line(format!("{} refreshes at {at_ms}", ends.len())),
            Command::Intent { key, seq, content, .. } if key.group_key.contains(part) => {
                line(format!("intent {seq}: {content:?}"));
            }
            Command::Done { key, seq, at_ms, .. } if key.group_key.contains(part) => {
                line(format!("done {seq} at {at_ms}"));
            }
            Command::Failed { key, seq, unknown, .. } if key.group_key.contains(part) => {
                line(format!("failed {seq}, unknown: {unknown}"));
            }
            _ => {}
        });
    }
    Ok(lines)
}

fn each(command: Command, see: &mut impl FnMut(Command)) {
    match command {
        Command::Batch(commands) => commands.into_iter().for_each(|one| each(one, see)),
        one => see(one),
    }
}
