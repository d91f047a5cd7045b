//! Reading the host again and again, a row each time.

use std::sync::Arc;
use std::time::Duration;

use env::{SharedClock, Tasks};
use model::{INSTANCE, JOB, Labels, LabelsBuilder, METRIC_NAME, Metadata, MetricType};
use storage::{AppendError, Appender, Cell, Layout, LayoutRef, Number, Row, Slot};
use telemetry::Counter;
use tokio::time::{MissedTickBehavior, interval};

use crate::HostConfig;
use crate::collectors::Collectors;
use crate::page::{HostSample, Page};

/// Reads the host and appends what it read.
pub struct Host {
    config: HostConfig,
    collectors: Collectors,
    appender: Arc<dyn Appender>,
    clock: SharedClock,
    /// The last page's layout and the names that it was made from.
    layout: Option<LayoutRef>,
    failures: Counter,
}

impl Host {
    /// A watcher of this host.
    #[must_use]
    pub fn new(
        config: HostConfig,
        appender: Arc<dyn Appender>,
        clock: SharedClock,
        registry: &telemetry::Registry,
    ) -> Self {
        let failures = Counter::default();
        registry.register(
            "vedette_host_append_failures",
            "Readings of the host that the store did not take.",
            failures.clone(),
        );
        let collectors = Collectors::new(&config, Arc::clone(&clock));
        Self { config, collectors, appender, clock, layout: None, failures }
    }

    /// Reads every interval until the tasks are stopped. Readings run on a thread for blocking work.
    pub async fn run(mut self, tasks: Tasks) {
        let mut ticks = interval(self.config.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = tasks.stopping() => return,
            }
            let Ok(this) = tasks.spawn_blocking(move || self.once()).await else { return };
            self = this;
        }
    }

    /// One reading and its row.
    fn once(mut self) -> Self {
        let now_ms = self.clock.now_ms();
        let start = self.clock.monotonic();
        let mut page = self.collectors.read();
        self.describe(&mut page, self.clock.monotonic().saturating_sub(start));
        if let Err(error) = self.append(&page, now_ms) {
            self.failures.inc();
            tracing::warn!(%error, "a reading of this host was not stored");
        }
        self
    }

    /// What a scrape would say of itself: dashboards join on it.
    fn describe(&self, page: &mut Page, took: Duration) {
        let count = page.samples.len() as f64;
        page.gauge("up", "", &[], 1.0);
        page.gauge("scrape_duration_seconds", "", &[], took.as_secs_f64());
        page.gauge("scrape_samples_scraped", "", &[], count);
        page.gauge("scrape_samples_post_metric_relabeling", "", &[], count);
    }

    /// Appends a page; the layout is made anew when the series are others than last time, and those
    /// that are gone end with a stale marker.
    fn append(&mut self, page: &Page, now_ms: i64) -> Result<(), AppendError> {
        let slots: Vec<Slot> = page.samples.iter().map(slot).collect();
        let same = self.layout.as_ref().filter(|known| known.layout().slots() == slots).cloned();
        let cells: Vec<Cell> =
            page.samples.iter().map(|sample| Cell::Value(Number::from_f64(sample.value))).collect();
        if let Some(layout) = same {
            match self.appender.append(Row { layout: &layout, timestamp: now_ms, cells: &cells }) {
                Err(AppendError::Relayout) => {}
                other => return other.map(drop),
            }
        } else if let Some(old) = self.layout.take() {
            self.end_series(&old, &slots, now_ms)?;
        }
        let admitted = storage::admit(&*self.appender, Layout::new(self.target(), slots)?)?;
        let cells = admitted.cells(&cells);
        self.appender.append(Row { layout: &admitted.layout, timestamp: now_ms, cells: &cells })?;
        self.layout = Some(admitted.layout);
        Ok(())
    }

    fn end_series(&self, old: &LayoutRef, slots: &[Slot], now_ms: i64) -> Result<(), AppendError> {
        let kept: std::collections::HashSet<&Labels> = slots.iter().map(|slot| &slot.labels).collect();
        let end = |slot: &Slot| if kept.contains(&slot.labels) { Cell::Absent } else { Cell::Stale };
        let cells: Vec<Cell> = old.layout().slots().iter().map(end).collect();
        if cells.iter().all(|cell| *cell == Cell::Absent) {
            return Ok(());
        }
        match self.appender.append(Row { layout: old, timestamp: now_ms, cells: &cells }) {
            // A new epoch: series of before end by themselves.
            Err(AppendError::Relayout) => Ok(()),
            other => other.map(drop),
        }
    }

    fn target(&self) -> Labels {
        Labels::from_pairs([(JOB, self.config.job.as_str()), (INSTANCE, self.config.instance.as_str())])
    }
}

fn slot(sample: &HostSample) -> Slot {
    let mut labels = LabelsBuilder::default();
    labels.set(METRIC_NAME, sample.name.as_str());
    for (name, value) in &sample.labels {
        labels.set(*name, value.as_str());
    }
    let metric_type = if sample.help.is_empty() { MetricType::Unknown } else { sample.metric_type };
    Slot::new(labels.build(), Metadata { metric_type, unit: "".into(), help: sample.help.into() })
}
