//! What stands between the API and the engine: in safe mode it limits what runs.

use std::sync::Arc;
use std::time::Duration;

use api::{Evaluate, Grid};
use promql::{Answer, Engine, EngineOptions, EvalError, Expr, QueryOptions};
use storage::{BoxFuture, Querier};

use super::SafeMode;
use super::journal::hash;

/// Of what queries may hold and of how many run at once, in safe mode.
const PART: usize = 10;
/// A query takes no longer then.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The engine's options in safe mode.
#[must_use]
pub fn limited(options: &EngineOptions) -> EngineOptions {
    EngineOptions {
        max_samples: options.max_samples.div_ceil(PART),
        max_concurrent: options.max_concurrent.div_ceil(PART),
        timeout: options.timeout.min(TIMEOUT),
        ..options.clone()
    }
}

/// An engine that the API asks.
pub struct Guard {
    /// Whose word it follows.
    pub mode: Arc<SafeMode>,
    /// As always.
    pub engine: Arc<Engine>,
    /// In safe mode.
    pub limited: Engine,
}

impl Guard {
    fn engine(&self) -> &Engine {
        if self.mode.is_active() { &self.limited } else { &self.engine }
    }

    fn check(&self, expr: &Expr) -> Result<(), EvalError> {
        if self.mode.is_active() && self.mode.suspects.contains(&hash(&expr.to_string())) {
            self.mode.refused.inc();
            let what = "safe mode: this query ran when the process ended uncleanly, it is refused until the process \
                        has run long enough";
            return Err(EvalError::Execution(what.to_owned()));
        }
        Ok(())
    }
}

impl Evaluate for Guard {
    fn instant<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        at: i64,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(async move {
            self.check(expr)?;
            self.engine().instant_with(querier, expr, at, options).await
        })
    }

    fn range<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        grid: Grid,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(async move {
            self.check(expr)?;
            self.engine().range_with(querier, expr, grid.start, grid.end, grid.step, options).await
        })
    }
}
