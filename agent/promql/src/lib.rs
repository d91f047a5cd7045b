//! PromQL: lexer, parser, typed tree, evaluator.
//!
//! [`parse`] gives an [`Expr`]; an [`Engine`] evaluates it over any [`storage::Querier`]. [`script`] reads
//! series notation and runs test scripts. Knows no files, sockets or clock.

mod annotation;
mod ast;
mod duration;
mod engine;
mod eval;
mod features;
mod functions;
mod operator;
mod parser;
mod position;
mod pretty;
mod print;
mod quote;
pub mod script;
mod stats;

pub use ast::{
    Aggregate, At, Binary, Border, Call, Expr, MatrixSelector, NumberLiteral, Paren, StringLiteral, Subquery,
    Unary, ValueType, VectorSelector,
};
pub use duration::{DurationExpr, DurationKind};
pub use engine::{Answer, Engine, EngineOptions, EvalError, QueryOptions, Value, VectorSample};
pub use features::Features;
pub use functions::{FUNCTIONS, Function, function};
pub use operator::{AggregateOp, BinaryOp, Cardinality, Matching};
pub use parser::{
    NESTING_MAX, OPERATORS_MAX, QUERY_BYTES_MAX, parse, parse_metric_selector, parse_series, parse_with,
};
pub use position::{ParseError, PosRange};
pub use quote::quote;
pub use stats::{ActiveQueries, Ended, Origin, PerStep, QueryLog, QueryStats};
