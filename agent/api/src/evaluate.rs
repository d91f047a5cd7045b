//! The seam to whatever evaluates PromQL: the local engine, or one that asks other nodes too.

use promql::{Answer, Engine, EvalError, Expr, QueryOptions};
use storage::{BoxFuture, Querier};

/// The grid of a range query, in milliseconds since the Unix epoch; both ends belong to it.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// First step.
    pub start: i64,
    /// No step is later.
    pub end: i64,
    /// Distance of the steps, above zero.
    pub step: i64,
}

impl Grid {
    /// Its steps.
    pub(crate) fn times(self) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(self.start), move |time| time.checked_add(self.step))
            .take_while(move |time| *time <= self.end)
    }
}

/// Something that evaluates expressions, and bounds how many at a time and for how long.
pub trait Evaluate: Send + Sync {
    /// At one time, in milliseconds since the Unix epoch.
    fn instant<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        at: i64,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>>;

    /// At every step of a grid.
    fn range<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        grid: Grid,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>>;
}

impl Evaluate for Engine {
    fn instant<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        at: i64,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(self.instant_with(querier, expr, at, options))
    }

    fn range<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        grid: Grid,
        options: QueryOptions,
    ) -> BoxFuture<'a, Result<Answer, EvalError>> {
        Box::pin(self.range_with(querier, expr, grid.start, grid.end, grid.step, options))
    }
}
