//! Pages as rows into an appender, on whatever clock the caller has.

use std::sync::Arc;

use storage::{AppendError, Appender, Cell, Layout, LayoutRef, Number, Row};

use super::columns::columns;
use super::{Fleet, targets};

/// Appends a fleet's pages as a scraper would: one row a host and slot, stale markers where series end.
/// `up` and the other series that a scraper adds of its own are not there.
pub struct Feed<'a> {
    fleet: &'a Fleet,
    appender: Arc<dyn Appender>,
    known: Vec<Option<Known>>,
    values: Vec<f64>,
    cells: Vec<Cell>,
}

/// What a host's last row looked like.
#[derive(Clone)]
struct Known {
    generation: u64,
    rollout: u64,
    layout: LayoutRef,
}

impl<'a> Feed<'a> {
    /// A feed that has appended nothing yet.
    #[must_use]
    pub fn new(fleet: &'a Fleet, appender: Arc<dyn Appender>) -> Self {
        Self { fleet, appender, known: vec![None; fleet.plan().hosts], values: Vec::new(), cells: Vec::new() }
    }

    /// Appends the rows of all hosts at a slot. Gives how many samples were taken.
    ///
    /// # Errors
    /// When the appender does not take a row.
    pub fn append(&mut self, slot: u64) -> Result<usize, AppendError> {
        (0..self.known.len()).try_fold(0, |sum, host| Ok(sum + self.host(host, slot)?))
    }

    fn host(&mut self, host: usize, slot: u64) -> Result<usize, AppendError> {
        let plan = self.fleet.plan();
        let (at, rollout) = (plan.scraped_at(host, slot), plan.rollout(host, slot));
        let Some(generation) = self.fleet.values(host, slot, &mut self.values) else {
            return self.known[host].take().map_or(Ok(0), |ended| self.end(&ended.layout, None, at));
        };
        let same = |known: &&Known| known.generation == generation && known.rollout == rollout;
        let mut taken = 0;
        let known = match self.known[host].as_ref().filter(same) {
            Some(known) => known.clone(),
            None => {
                let layout = self.appender.layout(self.layout(host, slot)?)?;
                let known = Known { generation, rollout, layout };
                if let Some(ended) = self.known[host].replace(known.clone()) {
                    taken += self.end(&ended.layout, Some(known.layout.layout()), at)?;
                }
                known
            }
        };
        self.cells.clear();
        self.cells.extend(self.values.iter().map(|value| Cell::Value(Number::from_f64(*value))));
        match self.appender.append(Row { layout: &known.layout, timestamp: at, cells: &self.cells }) {
            Err(AppendError::Relayout) => {
                let layout = self.appender.layout(self.layout(host, slot)?)?;
                let row = Row { layout: &layout, timestamp: at, cells: &self.cells };
                taken += self.appender.append(row)?.appended;
                self.known[host] = Some(Known { layout, ..known });
            }
            outcome => taken += outcome?.appended,
        }
        Ok(taken)
    }

    fn layout(&self, host: usize, slot: u64) -> Result<Layout, AppendError> {
        let page = self.fleet.page(host, slot).ok_or(AppendError::Relayout)?;
        Layout::new(targets::target(self.fleet.plan(), host, slot), columns(&page))
    }

    /// Marks what is in `layout` and not in `next` as ended.
    fn end(&self, layout: &LayoutRef, next: Option<&Layout>, at: i64) -> Result<usize, AppendError> {
        let old = layout.layout();
        let kept: std::collections::BTreeSet<_> = next
            .filter(|next| next.target() == old.target())
            .map(|next| next.slots().iter().map(|slot| slot.labels.to_string()).collect())
            .unwrap_or_default();
        let cell = |slot: &storage::Slot| {
            if kept.contains(&slot.labels.to_string()) { Cell::Absent } else { Cell::Stale }
        };
        let cells: Vec<Cell> = old.slots().iter().map(cell).collect();
        let append = |layout: &LayoutRef| self.appender.append(Row { layout, timestamp: at, cells: &cells });
        let outcome = match append(layout) {
            Err(AppendError::Relayout) => append(&self.appender.layout(Layout::clone(old))?),
            outcome => outcome,
        };
        outcome.map(|outcome| outcome.appended)
    }
}

#[cfg(test)]
mod tests {
    use env::{SeededRandom, SharedClock, SimulatedClock};
    use telemetry::Registry;
    use tsdb::{Store, StoreOptions};

    use super::*;
    use crate::fleet::Plan;
    use crate::fleet::tests::plan;

    #[test]
    fn a_store_takes_every_value() {
        let (dir, plan) = (tempfile::tempdir().unwrap(), Plan { churn: Vec::new(), ..plan(5) });
        let clock = SimulatedClock::at(plan.time_of(100));
        let options = StoreOptions::new(dir.path(), "fleet");
        let random = SeededRandom::shared(1);
        let store =
            Store::open(options, Arc::clone(&clock) as SharedClock, random, &Registry::new()).unwrap();
        let fleet = Fleet::new(plan);
        let mut feed = Feed::new(&fleet, store);
        for slot in 0..3 {
            let series: usize = (0..5).map(|host| fleet.page(host, slot).unwrap().series()).sum();
            assert_eq!(feed.append(slot).unwrap(), series, "slot {slot}");
        }
    }
}
