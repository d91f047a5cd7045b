//! What a query cost, and who is told of queries while they run and when they end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::ast::Expr;
use crate::engine::EvalError;

/// What a query cost. Times are of tokio's clock, which tests stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Samples that the evaluation looked at, once for every step that did.
    pub total_samples: u64,
    /// Samples that came from the store.
    pub samples_read: u64,
    /// Most samples held at one moment.
    pub peak_samples: u64,
    /// How long it waited for its turn.
    pub queued: Duration,
    /// How long it took, waiting included.
    pub took: Duration,
}

/// The same by step of the query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PerStep {
    /// Samples that the evaluation looked at.
    pub total_samples: Vec<u64>,
    /// Samples that the store gave first for this step.
    pub samples_read: Vec<u64>,
}

impl PerStep {
    /// Nothing at so many steps.
    pub(crate) fn zero(steps: usize) -> Self {
        Self { total_samples: vec![0; steps], samples_read: vec![0; steps] }
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A request.
    Http {
        /// The query as it was written.
        query: String,
        /// The address that it came from.
        client: String,
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
    },
    /// A group of rules.
    RuleGroup {
        /// The file that holds it.
        file: String,
        /// Its name.
        name: String,
    },
}

/// Is told of each query while it runs, so that one that ends the process can be named afterwards.
pub trait ActiveQueries: Send + Sync + fmt::Debug {
    /// A query begins; it ends when what this gives is dropped.
    fn begin(&self, expr: &Expr) -> Box<dyn Send>;
}

/// Is told of each query when it ends.
pub trait QueryLog: Send + Sync + fmt::Debug {
    /// A query ended: it was answered, failed, or its asker went away.
    fn ended(&self, query: &Ended<'_>);
}

/// A query that ended.
#[derive(Debug)]
pub struct Ended<'a> {
    /// What was asked.
    pub expr: &'a Expr,
    /// Who asked, where that is known.
    pub origin: Option<&'a Origin>,
    /// First time, in milliseconds since the Unix epoch.
    pub start: i64,
    /// Last time.
    pub end: i64,
    /// Milliseconds between times; 0 where there is one time only.
    pub step: i64,
    /// What it cost; of one that failed, the times alone.
    pub stats: QueryStats,
    /// Why there is no answer.
    pub error: Option<&'a EvalError>,
}

/// Tells of a query's end, also where its future is dropped.
pub(crate) struct Ending<'a> {
    log: Option<&'a dyn QueryLog>,
    expr: &'a Expr,
    origin: Option<Arc<Origin>>,
    /// Start, end, step.
    grid: (i64, i64, i64),
    begun: Instant,
    queued: Option<Duration>,
    is_told: bool,
}

impl<'a> Ending<'a> {
    pub(crate) fn new(
        log: Option<&'a dyn QueryLog>,
        expr: &'a Expr,
        origin: Option<Arc<Origin>>,
        grid: (i64, i64, i64),
    ) -> Self {
        Self { log, expr, origin, grid, begun: Instant::now(), queued: None, is_told: false }
    }

    /// When the query was asked.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// It is its turn.
    pub(crate) fn starts(&mut self) {
        self.queued = Some(self.begun.elapsed());
    }

    /// Fills in how long it waited and took.
    pub(crate) fn time(&self, stats: &mut QueryStats) {
        stats.took = self.begun.elapsed();
        stats.queued = self.queued.unwrap_or(stats.took);
    }

    /// It has ended.
    pub(crate) fn tell(&mut self, stats: Result<QueryStats, &EvalError>) {
        self.is_told = true;
        let Some(log) = self.log else { return };
        let error = stats.err();
        let mut stats = stats.unwrap_or_default();
        if error.is_some() {
            self.time(&mut stats);
        }
        let (start, end, step) = self.grid;
        let origin = self.origin.as_deref();
        log.ended(&Ended { expr: self.expr, origin, start, end, step, stats, error });
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            let place = if self.queued.is_some() { "expression evaluation" } else { "query queue" };
            self.tell(Err(&EvalError::Canceled(place)));
        }
    }
}
