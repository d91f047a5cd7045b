//! Repairing a folder that nobody runs on: what is damaged is set aside, what the rest gives is written anew, and what
//! is missing is recorded, so that verifying finds nothing and answers name their gaps.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use env::{SharedClock, SystemClock, SystemRandom};
use storage::{Epoch, Gap};

use super::repair_log::Damaged;
use super::verify::{Fault, Place, check_folder};
use crate::metrics::Metrics;
use crate::open;
use crate::options::{OpenError, StoreOptions};
use crate::sealed::mend;
use crate::store::{self, Inner};
use crate::window::WINDOW_MS;

/// What a repair came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Damages that were found.
    pub found: u64,
    /// Segments of the log that were written anew or set aside.
    pub segments: u64,
    /// Sealed windows that were written anew from the log: nothing of them is missing.
    pub healed: u64,
    /// Sealed windows of which a part is missing.
    pub salvaged: u64,
    /// What is missing for good, as answers will say.
    pub gaps: Vec<Gap>,
    /// Damages that are still there.
    pub left: u64,
}

/// Why a folder was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// It cannot be used, or somebody runs on it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// Sealed data cannot be read or written.
    #[error("sealed data: {0}")]
    Sealed(String),
}

/// Repairs the folder `dir` and tells each thing that it does; with `dry_run` each that it would do, changing nothing.
/// What is damaged goes to `dir`/damaged.
///
/// # Errors
/// When a process has it open, there is no store, or the disk does not do what it must. What was done until then stays,
/// and a repair may be run again.
pub fn repair(dir: &Path, dry_run: bool, tell: &mut dyn FnMut(String)) -> Result<Repair, RepairError> {
    let read_lock = super::lock(dir)?;
    let (mut faults, torn_bytes) = all_faults(dir);
    let found = faults.len() as u64;
    let mut repair = Repair { found, left: found, ..Repair::default() };
    if faults.is_empty() {
        return Ok(repair);
    }
    if dry_run {
        plan(&faults, tell);
        return Ok(repair);
    }
    drop(read_lock);
    let _lock = store::lock(dir)?;
    let aside = dir.join("damaged");
    let (log, now_ms) = (dir.join("log"), SystemClock::shared().now_ms());
    let damaged = Damaged::of(&log, &faults, torn_bytes > 0)?;
    repair.gaps = damaged.gaps(&log, now_ms)?;
    repair.segments = damaged.repair(&log, &aside.join("log"), tell)?;
    let sealed = dir.join("sealed");
    if sealed.is_dir() {
        let failed = |error: crate::sealed::SealedError| RepairError::Sealed(error.to_string());
        let lost = mend(&sealed, &aside, tell).map_err(failed)?;
        let why = "sealed data was damaged beyond repair".to_owned();
        repair.gaps.extend(lost.then_some(Gap { start: i64::MIN, end: now_ms, why }));
    }
    // Now that it can be opened there may be more to see.
    (faults, _) = all_faults(dir);
    reseal(dir, &faults, &mut repair, tell)?;
    repair.left = check_folder(dir, &mut |fault| tell(format!("still damaged: {fault}"))).faults;
    Ok(repair)
}

/// All damages, and bytes at the last segment's end that are none as long as it is the last.
fn all_faults(dir: &Path) -> (Vec<Fault>, u64) {
    let mut faults = Vec::new();
    let checked = check_folder(dir, &mut |fault| faults.push(fault));
    (faults, checked.torn_bytes)
}

/// Tells what a repair would do.
fn plan(faults: &[Fault], tell: &mut dyn FnMut(String)) {
    for fault in faults {
        let what = match &fault.place {
            Place::Bytes { .. } => "would be set aside, and its segment written anew without it",
            Place::Log(_) => "would be set aside",
            Place::Sealed(_) => "would be set aside, or what can be read of it written anew",
            Place::Window { .. } | Place::Block { .. } => {
                "its window would be sealed anew from the log and from what is left of it"
            }
        };
        tell(format!("{fault}: {what}"));
    }
}

/// Seals damaged windows anew and records what is missing.
fn reseal(
    dir: &Path,
    faults: &[Fault],
    repair: &mut Repair,
    tell: &mut dyn FnMut(String),
) -> Result<(), RepairError> {
    // Nothing is past retention, and nobody is the own node.
    let options = StoreOptions { retention_time: Duration::ZERO, ..StoreOptions::new(dir, "") };
    let metrics = Metrics::new(&telemetry::Registry::new());
    let clock: SharedClock = SystemClock::shared();
    let opened = open::open(&options, clock.now_ms(), Epoch(0), &metrics)?;
    let inner = Inner::new(options, clock, SystemRandom::shared(), metrics, opened);
    let failed = |error: crate::sealed::SealedError| RepairError::Sealed(error.to_string());
    let windows: BTreeSet<i64> = faults.iter().filter_map(|fault| fault.place.window()).collect();
    for start in windows.into_iter().rev() {
        match inner.salvage_window(start, &dir.join("damaged").join("sealed")).map_err(failed)? {
            Salvaged::Nothing => {}
            Salvaged::Healed => {
                repair.healed += 1;
                tell(format!("sealed window {start}: sealed anew from the log, nothing is missing"));
            }
            Salvaged::Part => {
                repair.salvaged += 1;
                tell(format!("sealed window {start}: what is left of it was sealed anew, a part is missing"));
                let why = "sealed data of two hours was damaged, and repaired as far as it could be";
                let end = start.saturating_add(WINDOW_MS - 1);
                repair.gaps.push(Gap { start, end, why: why.to_owned() });
            }
        }
    }
    let mut state = inner.state.write();
    for gap in &repair.gaps {
        if !state.gaps.contains(gap) {
            state.gaps.push(gap.clone());
        }
    }
    // Those that opening found are among them.
    repair.gaps.clone_from(&state.gaps);
    drop(state);
    Ok(inner.record_repair()?)
}

/// What became of a damaged window.
pub(crate) enum Salvaged {
    /// It is whole, or nobody knows it.
    Nothing,
    /// The log had all of it.
    Healed,
    /// Only what was left of its blocks and of the log.
    Part,
}

impl Place {
    /// The window that it belongs to.
    fn window(&self) -> Option<i64> {
        match self {
            Self::Window { window, .. } | Self::Block { window, .. } => Some(*window),
            Self::Log(_) | Self::Bytes { .. } | Self::Sealed(_) => None,
        }
    }
}
