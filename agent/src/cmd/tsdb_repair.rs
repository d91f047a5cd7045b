//! `tsdb repair`: brings a damaged folder to where verifying finds nothing.

use std::path::Path;

use anyhow::{anyhow, bail};
use tsdb::{OpenError, RepairError};

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(super) fn repair(dir: &Path, dry_run: bool) -> anyhow::Result<()> {
    let done = tsdb::repair(dir, dry_run, &mut |line| println!("{line}"));
    let done = done.map_err(|error| match error {
        RepairError::Open(OpenError::Locked(dir)) => {
            anyhow!("{} is open in another process: stop it first", dir.display())
        }
        RepairError::Open(error) => super::tsdb::explained(dir, error),
        error => anyhow!("{error}; what was done stays, and the repair may be run again"),
    })?;
    if done.found == 0 {
        println!("no damage");
        return Ok(());
    }
    if dry_run {
        println!("{} damages, nothing was changed", done.found);
        return Ok(());
    }
    for gap in &done.gaps {
        println!("missing from {} to {}: {}", gap.start, gap.end, gap.why);
    }
    println!(
        "{} damages; log: {} segments written anew; sealed: {} windows whole again, {} in part; {} gaps recorded; \
         what was damaged is in {}",
        done.found,
        done.segments,
        done.healed,
        done.salvaged,
        done.gaps.len(),
        dir.join("damaged").display()
    );
    if done.left > 0 {
        bail!("{}: {} damages could not be repaired", dir.display(), done.left);
    }
    Ok(())
}
