//! The seam to whatever evaluates PromQL: the local engine, or one that asks other nodes too.

use std::time::Duration;

use model::{Labels, Sample, Series};
use promql::Expr;
use storage::{BoxFuture, Coverage, Querier};

/// What a query is evaluated with besides its times.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions {
    /// How far back an instant looks for a sample.
    pub lookback: Duration,
    /// Time that is left.
    pub timeout: Duration,
}

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

/// What an expression comes to.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number at the time of evaluation.
    Scalar(Sample),
    /// A text at the time of evaluation, in milliseconds.
    String(i64, String),
    /// A sample for each label set, in the order of the evaluation.
    Vector(Vec<(Labels, Sample)>),
    /// Samples for each label set.
    Matrix(Vec<Series>),
}

/// A value and what there is to say about it.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The value.
    pub value: Value,
    /// What may be wrong with it.
    pub warnings: Vec<String>,
    /// Remarks of less weight.
    pub infos: Vec<String>,
    /// What data it rests on.
    pub coverage: Coverage,
    /// Samples that were read.
    pub samples_read: u64,
    /// Most samples held at a time.
    pub samples_peak: u64,
}

/// An expression could not be evaluated; the text is for the one who asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The expression and the data do not fit, or a limit was reached.
    #[error("{0}")]
    Execution(String),
    /// Time ran out.
    #[error("{0}")]
    Timeout(String),
    /// The one who asked went away.
    #[error("{0}")]
    Canceled(String),
    /// The store failed.
    #[error("{0}")]
    Storage(String),
}

/// Something that evaluates expressions.
pub trait Evaluate: Send + Sync {
    /// At one time, in milliseconds since the Unix epoch.
    fn instant<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        at: i64,
        options: EvaluateOptions,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluateError>>;

    /// At every step of a grid.
    fn range<'a>(
        &'a self,
        querier: &'a dyn Querier,
        expr: &'a Expr,
        grid: Grid,
        options: EvaluateOptions,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluateError>>;
}
