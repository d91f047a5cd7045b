//! PromQL: lexer, parser, typed tree, evaluator.

mod ast;
mod functions;
mod parser;
mod position;
mod print;
mod quote;

pub use ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, Expr, Matching, MatrixSelector,
    NumberLiteral, Paren, StringLiteral, Subquery, Unary, ValueType, VectorSelector,
};
pub use functions::{FUNCTIONS, Function, function};
pub use parser::{DEPTH_MAX, NESTING_MAX, QUERY_BYTES_MAX, parse, parse_metric_selector, parse_series};
pub use position::{ParseError, PosRange};
