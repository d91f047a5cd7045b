//! Safe mode: an agent that ended uncleanly again and again starts with the minimum, so that what matters goes on.
//!
//! Scrapes, rules, notifications and shipping run as always. Queries over HTTP are few, short and small; those that ran
//! at most of these ends are refused; nothing is sealed or dropped. It is left by itself once the process has
//! run for as long as ends are counted.

mod guard;
mod journal;
mod starts;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::Notices;
use env::{SharedClock, Tasks};
use promql::ActiveQueries;
use telemetry::{Counter, Gauge, Registry};

pub use guard::{Guard, limited};

use journal::Journal;
use starts::Starts;

/// When the mode is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SafeModeOptions {
    /// So many unclean ends within the window; zero never enters it.
    pub crashes: usize,
    /// Ends that are counted are not older; the mode is left after so long a run.
    pub window: Duration,
}

impl Default for SafeModeOptions {
    /// 3 in 10 minutes.
    fn default() -> Self {
        Self { crashes: 3, window: Duration::from_secs(600) }
    }
}

/// Whether the process is in safe mode, and what it notes for the next start.
pub struct SafeMode {
    options: SafeModeOptions,
    dir: PathBuf,
    active: AtomicBool,
    /// How many unclean ends there were.
    crashes: usize,
    /// Queries that ran when the process ended.
    suspects: HashSet<u64>,
    started_ms: i64,
    journal: Option<Journal>,
    gauge: Gauge,
    refused: Counter,
}

/// The queries of a process without safe mode: noted while they run, and named after an unclean end.
#[derive(Default)]
pub struct RunningQueries(Option<Journal>);

impl RunningQueries {
    /// Names those that ran when the process last ended, and notes the next ones in `dir`, unless another process has
    /// it.
    #[must_use]
    pub fn begin(dir: &Path) -> Self {
        if !starts::is_free(dir) {
            return Self::default();
        }
        journal::name_unfinished(dir);
        Self(journal::begin(dir))
    }

    /// What is to note them.
    #[must_use]
    pub fn active(&self) -> Option<Arc<dyn ActiveQueries>> {
        self.0.clone().map(|journal| Arc::new(journal) as _)
    }

    /// The process ends in order: what runs is no suspect.
    pub fn ended_in_order(&self) {
        if let Some(journal) = &self.0 {
            journal.forget();
        }
    }
}

impl SafeMode {
    /// Notes this start in `dir` and tells whether there were too many before it. Where nothing can be noted, or another
    /// process has the folder, the process runs as always.
    #[must_use]
    pub fn begin(
        dir: &Path,
        options: SafeModeOptions,
        clock: &SharedClock,
        registry: &Registry,
    ) -> Arc<Self> {
        let (gauge, refused) = (Gauge::default(), Counter::default());
        registry.register(
            "vedette_safe_mode",
            "1 after the process ended uncleanly again and again: queries are limited, nothing is sealed.",
            gauge.clone(),
        );
        registry.register(
            "vedette_safe_mode_refused_queries",
            "Queries refused because they ran when the process ended uncleanly.",
            refused.clone(),
        );
        let now_ms = clock.now_ms();
        let mut mode = Self {
            options,
            dir: dir.to_owned(),
            active: AtomicBool::new(false),
            crashes: 0,
            suspects: HashSet::new(),
            started_ms: now_ms,
            journal: None,
            gauge,
            refused,
        };
        if starts::is_free(dir) {
            let ran = journal::name_unfinished(dir);
            if options.crashes == 0 || mode.note_start(now_ms, ran) {
                mode.journal = journal::begin(dir);
            }
        }
        Arc::new(mode)
    }

    /// What is to note the queries that run, where they are noted.
    #[must_use]
    pub fn active_queries(&self) -> Option<Arc<dyn ActiveQueries>> {
        self.journal.clone().map(|journal| Arc::new(journal) as _)
    }

    /// Whether the start could be noted; enters the mode where there were too many.
    fn note_start(&mut self, now_ms: i64, ran: Vec<(u64, String)>) -> bool {
        let window = i64::try_from(self.options.window.as_millis()).unwrap_or(i64::MAX);
        let mut starts = Starts::read(&self.dir);
        starts.ended_with(ran);
        starts.keep_recent(now_ms, window);
        self.crashes = starts.count();
        let suspects: Vec<(u64, String)> =
            starts.suspects().into_iter().map(|(hash, text)| (hash, text.to_owned())).collect();
        self.suspects = suspects.iter().map(|(hash, _)| *hash).collect();
        starts.begin(now_ms);
        if let Err(error) = starts.write(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "this start cannot be noted: no safe mode after crashes");
            return false;
        }
        if self.crashes < self.options.crashes {
            return true;
        }
        self.active.store(true, Ordering::Relaxed);
        self.gauge.set(1);
        tracing::error!(
            crashes = self.crashes,
            window = ?self.options.window,
            refused_queries = ?suspects.iter().map(|(_, text)| text).collect::<Vec<_>>(),
            "the process ended uncleanly again and again: safe mode. Scrapes, rules and notifications go on; queries are \
             limited, those that ran at most of these ends are refused, nothing is sealed or dropped"
        );
        true
    }

    /// Whether the process is in safe mode now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// What the mode's status pages say; nothing outside of it.
    #[must_use]
    pub fn why(&self) -> Option<String> {
        self.is_active().then(|| {
            format!(
                "safe mode: {} unclean ends within {:?}; queries are limited, nothing is sealed or dropped",
                self.crashes, self.options.window
            )
        })
    }

    /// Leaves the mode once the process has run long enough.
    pub async fn leave_when_stable(self: Arc<Self>, notices: Arc<Notices>, tasks: Tasks) {
        let Some(why) = self.why() else { return };
        notices.raise(&why);
        tokio::select! {
            () = tokio::time::sleep(self.options.window) => {}
            () = tasks.stopping() => return,
        }
        self.active.store(false, Ordering::Relaxed);
        self.gauge.set(0);
        notices.settle(&why);
        let mut starts = Starts::default();
        starts.begin(self.started_ms);
        if let Err(error) = starts.write(&self.dir) {
            tracing::warn!(%error, "earlier ends of the process stay noted");
        }
        tracing::info!(after = ?self.options.window, "safe mode is left: the process has run long enough");
    }

    /// The process ends in order: nothing of this start counts.
    pub fn ended_in_order(&self) {
        let Some(journal) = &self.journal else { return };
        journal.forget();
        if self.options.crashes > 0 {
            starts::clear(&self.dir);
        }
    }
}
