//! From text to tree: a Pratt parser over the lexer's tokens, then the type checks.

mod check;
mod duration;
mod expression;
mod lexer;
mod literal;
mod selector;
mod token;

use model::Matcher;

use self::token::{Kind, Token};
use crate::ast::Expr;
use crate::features::Features;
use crate::operator::BinaryOp;
use crate::position::{ParseError, PosRange};

/// Longer queries are refused.
pub const QUERY_BYTES_MAX: usize = 1 << 20;
/// Parentheses, calls and signs inside each other.
pub const NESTING_MAX: usize = 64;
/// Binary operators in one query, and so levels of its tree.
pub const OPERATORS_MAX: usize = 2048;

/// Reads a query.
///
/// # Errors
/// The first thing in the text that is no PromQL, does not type-check, or is deeper or longer than allowed.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    parse_with(query, Features::enabled())
}

/// [`parse`] with these experimental parts of the language instead of those the process was started with.
///
/// # Errors
/// See [`parse`].
pub fn parse_with(query: &str, features: Features) -> Result<Expr, ParseError> {
    let mut parser = Parser::new(query)?;
    parser.features = features;
    if parser.peek() == &Kind::Eof {
        return Err(ParseError {
            range: PosRange::default(),
            message: "no expression found in input".to_owned(),
        });
    }
    let mut expr = parser.expression(0)?;
    parser.end_of_input()?;
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Reads a selector without range, offset or `@`, as `match[]` takes it. It may be one that passes every series.
///
/// # Errors
/// When the text is none.
pub fn parse_metric_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut parser = Parser::new(text)?;
    let selector = parser.vector_selector()?;
    parser.end_of_input()?;
    Ok(selector.matchers)
}

/// A series' name and labels as test scripts and rule tests write them: `metric{a="1"}`.
///
/// # Errors
/// When the text is none, or when a label is not compared with `=`.
pub fn parse_series(text: &str) -> Result<model::Labels, ParseError> {
    let mut parser = Parser::new(text)?;
    if parser.peek() == &Kind::LeftBrace && parser.peek_at(1) == &Kind::RightBrace {
        return Ok(model::Labels::empty());
    }
    let selector = parser.vector_selector()?;
    parser.end_of_input()?;
    if selector.matchers.iter().any(|matcher| matcher.op() != model::MatchOp::Equal) {
        return Err(ParseError { range: selector.pos, message: "a series' labels take \"=\"".to_owned() });
    }
    Ok(model::Labels::from_pairs(selector.matchers.iter().map(|matcher| (matcher.name(), matcher.value()))))
}

/// Where the reading is.
pub(crate) struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    nesting: usize,
    operators: usize,
    duration_operators: usize,
    features: Features,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > QUERY_BYTES_MAX {
            return Err(ParseError {
                range: PosRange::new(text, 0, 0),
                message: format!("query is longer than {QUERY_BYTES_MAX} bytes"),
            });
        }
        Ok(Self {
            text,
            tokens: lexer::tokenize(text),
            at: 0,
            nesting: 0,
            operators: 0,
            duration_operators: 0,
            features: Features::default(),
        })
    }

    fn peek(&self) -> &Kind {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Kind {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)].kind
    }

    /// The token that comes next; the last one is given again and again.
    fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn take(&mut self, wanted: &Kind) -> bool {
        let found = self.peek() == wanted;
        if found {
            self.next();
        }
        found
    }

    fn text_of(&self, token: &Token) -> &'a str {
        &self.text[token.start..token.end]
    }

    fn range_of(&self, token: &Token) -> PosRange {
        self.range(token.start, token.end)
    }

    fn range(&self, start: usize, end: usize) -> PosRange {
        PosRange::new(self.text, start, end)
    }

    /// Where the token before the next one ends.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |before| self.tokens[before].end)
    }

    /// The token that is wanted here.
    fn expect(&mut self, wanted: &Kind, context: &str, expected: &str) -> Result<Token, ParseError> {
        if self.peek() == wanted {
            return Ok(self.next());
        }
        Err(self.unexpected(context, expected))
    }

    /// The error that the next token does not belong where it stands.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = &self.tokens[self.at];
        if let Kind::Error(message) = &token.kind {
            return ParseError { range: self.range_of(token), message: message.clone() };
        }
        let mut message = format!("unexpected {}", token.kind.describe(self.text_of(token)));
        if !context.is_empty() {
            message.push_str(" in ");
            message.push_str(context);
        }
        if !expected.is_empty() {
            message.push_str(", expected ");
            message.push_str(expected);
        }
        ParseError { range: self.range_of(token), message }
    }

    fn end_of_input(&self) -> Result<(), ParseError> {
        if self.peek() == &Kind::Eof { Ok(()) } else { Err(self.unexpected("", "")) }
    }

    /// The sign that comes next, if one does: whether it is `-`.
    fn take_sign(&mut self) -> Option<bool> {
        let negative = match self.peek() {
            Kind::Operator(BinaryOp::Add) => false,
            Kind::Operator(BinaryOp::Sub) => true,
            _ => return None,
        };
        self.next();
        Some(negative)
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ParseError>) -> Result<T, ParseError> {
        if self.nesting == NESTING_MAX {
            return Err(ParseError {
                range: self.range_of(&self.tokens[self.at]),
                message: format!("expression is nested more than {NESTING_MAX} levels deep"),
            });
        }
        self.nesting += 1;
        let result = read(self);
        self.nesting -= 1;
        result
    }
}
