//! From `kill -9` to the first right answer.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use env::SystemClock;
use vedette_benches::fleet::Plan;

use crate::cost::disk_use;
use crate::scraped::{Scraped, TOLERANCE, judged};
use crate::systems::{Running, System};
use crate::table::Table;

/// What is older than this survives `kill -9` at every system; VictoriaMetrics keeps the last seconds in memory alone.
/// What is younger is counted as lost.
const SETTLED_MS: i64 = 15_000;
/// Longest wait for the right answer.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two questions.
const LOOK: Duration = Duration::from_millis(5);

/// Row 7 of the budget.
pub(crate) async fn recovery(systems: &[(System, PathBuf)], plan: &Plan, time: Duration) -> Result<Table> {
    let mut table = Table::new(systems.iter().map(|(system, _)| system.name()));
    let mut scraped = Scraped::start(systems, plan.clone(), false).await?;
    tokio::time::sleep(time).await;
    let (series, judgement) = (scraped.series(), scraped.judgement().await?);
    let (mut took, mut lost, mut disk) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..scraped.running.len() {
        let (_, settled) = scraped.over(SETTLED_MS)?;
        let one = &mut scraped.running[at];
        disk.push(Some(disk_use(one.data()) as f64 / 1_048_576.0));
        let (seconds, missing) = kill(one, settled).await?;
        if seconds.is_none() {
            table.note(format!("{} did not give the right answer again.", one.system.name()));
        }
        took.push(seconds);
        lost.push(Some(missing));
    }
    table.row("kill -9 to the first right answer", "s", took);
    table.row("lost of the judged series", "samples", lost);
    table.row("on disk when killed", "MiB", disk);
    table.note(format!("{series} series, {} s of scrapes; one after the other. {judgement}", time.as_secs()));
    scraped.end().await?;
    Ok(table)
}

/// Seconds to the right answer, none when it never came, and samples that are gone.
pub(crate) async fn kill(one: &mut Running, settled: i64) -> Result<(Option<f64>, f64)> {
    let question = format!("sum({})", judged());
    let counted = format!("sum(count_over_time({}[1d]))", judged());
    let right = one.sum(&question, Some(settled)).await?;
    let clock = SystemClock::shared();
    let moment = clock.now_ms();
    let before = one.sum(&counted, Some(moment)).await?;
    let begun = clock.monotonic();
    one.kill_and_restart()?;
    let took = loop {
        let answer = one.sum(&question, Some(settled)).await;
        let elapsed = clock.monotonic() - begun;
        if answer.is_ok_and(|answer| (answer / right - 1.0).abs() < TOLERANCE) {
            break Some(elapsed.as_secs_f64());
        }
        if elapsed > PATIENCE {
            break None;
        }
        tokio::time::sleep(LOOK).await;
    };
    let after = one.sum(&counted, Some(moment)).await?;
    Ok((took, (before - after).max(0.0)))
}
