//! What a dead leader had announced and not finished, from its own log.

use std::collections::BTreeSet;
use std::path::Path;

use alertmanager::{Command, NotifyKey};
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

fn each(command: Command, see: &mut impl FnMut(Command)) {
    match command {
        Command::Batch(commands) => commands.into_iter().for_each(|one| each(one, see)),
        one => see(one),
    }
}
