//! Selectors and what may follow an expression: range, subquery, `offset`, `@`.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::Parser;
use super::duration::Length;
use super::token::{Keyword, Kind};
use crate::ast::{At, Border, Expr, MatrixSelector, Subquery, VectorSelector};
use crate::duration::DurationExpr;
use crate::operator::BinaryOp;
use crate::position::{ParseError, PosRange};

const OFFSET_TARGET: &str =
    "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
const AT_TARGET: &str =
    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";

impl Parser<'_> {
    /// `metric`, `metric{…}` or `{…}`.
    pub(super) fn vector_selector(&mut self) -> Result<VectorSelector, ParseError> {
        let start = self.tokens[self.at].start;
        let mut name = String::new();
        if self.peek().can_name_metric() {
            let token = self.next();
            name = self.text_of(&token).to_owned();
        } else if self.peek() != &Kind::LeftBrace {
            return Err(self.unexpected("", ""));
        }
        let mut matchers = if self.peek() == &Kind::LeftBrace { self.matchers()? } else { Vec::new() };
        if !name.is_empty() {
            matchers.push(Matcher::equal(METRIC_NAME, name.as_str()));
        }
        let pos = self.range(start, self.last_end());
        Ok(VectorSelector {
            name,
            matchers,
            offset_ms: 0,
            offset_expr: None,
            at: None,
            border: Border::Plain,
            pos,
        })
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>, ParseError> {
        self.next();
        let mut matchers = Vec::new();
        loop {
            match self.peek() {
                Kind::RightBrace => break,
                Kind::Identifier | Kind::String => matchers.push(self.matcher()?),
                _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
            }
            if !self.take(&Kind::Comma) && self.peek() != &Kind::RightBrace {
                return Err(self.unexpected("label matching", "\",\" or \"}\""));
            }
        }
        self.next();
        Ok(matchers)
    }

    fn matcher(&mut self) -> Result<Matcher, ParseError> {
        let token = self.next();
        let quoted = token.kind == Kind::String;
        let name = if quoted { self.string(&token)? } else { self.text_of(&token).to_owned() };
        let op = match self.peek() {
            Kind::Assign => MatchOp::Equal,
            Kind::Operator(BinaryOp::NotEqual) => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotEqualRegex => MatchOp::NotRegex,
            // A quoted name alone is the metric's.
            Kind::Comma | Kind::RightBrace if quoted => return Ok(Matcher::equal(METRIC_NAME, name)),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.next();
        let value = self.expect(&Kind::String, "label matching", "string")?;
        let text = self.string(&value)?;
        Matcher::new(name, op, text).map_err(|error| ParseError {
            range: self.range(token.start, value.end),
            message: error.to_string(),
        })
    }

    /// What follows `expr` and belongs to it.
    pub(super) fn suffixes(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        loop {
            expr = match self.peek() {
                Kind::LeftBracket => self.range_or_subquery(expr)?,
                Kind::At => self.at_modifier(expr)?,
                Kind::Keyword(Keyword::Offset) => self.offset_modifier(expr)?,
                Kind::Keyword(Keyword::Anchored) => self.border_modifier(expr, Border::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.border_modifier(expr, Border::Smoothed)?,
                _ => return Ok(expr),
            };
        }
    }

    fn range_or_subquery(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        let open = self.next();
        let range =
            self.bracket_duration("subquery or range selector", "number, duration, step(), or range()")?;
        match self.peek() {
            Kind::RightBracket => {
                let close = self.next();
                self.matrix_selector(expr, range, self.range(open.start, close.end))
            }
            Kind::Colon => {
                self.next();
                let step = match self.peek() {
                    Kind::RightBracket => None,
                    _ => Some(self.bracket_duration(
                        "subquery selector",
                        "number, duration, step(), range(), or \"]\"",
                    )?),
                };
                let close = self.expect(&Kind::RightBracket, "subquery selector", "\"]\"")?;
                let pos = expr.pos().to(self.range(open.start, close.end));
                let (step_ms, step_expr) = match step {
                    None => (None, None),
                    Some(Length { expr: Some(expr), .. }) => (None, Some(expr)),
                    Some(Length { millis, .. }) => (Some(millis), None),
                };
                Ok(Expr::Subquery(Subquery {
                    expr: Box::new(expr),
                    range_ms: range.millis,
                    range_expr: range.expr,
                    step_ms,
                    step_expr,
                    offset_ms: 0,
                    offset_expr: None,
                    at: None,
                    pos,
                }))
            }
            _ => Err(self.unexpected("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix_selector(&self, expr: Expr, range: Length, brackets: PosRange) -> Result<Expr, ParseError> {
        let wrong = |message: &str| Err(ParseError { range: brackets, message: message.to_owned() });
        match expr {
            Expr::Vector(selector) if selector.offset_ms != 0 || selector.offset_expr.is_some() => {
                wrong("no offset modifiers allowed before range")
            }
            Expr::Vector(selector) if selector.at.is_some() => wrong("no @ modifiers allowed before range"),
            Expr::Vector(selector) => {
                let pos = selector.pos.to(brackets);
                let Length { millis, expr } = range;
                Ok(Expr::Matrix(MatrixSelector { selector, range_ms: millis, range_expr: expr, pos }))
            }
            _ => wrong("ranges only allowed for vector selectors"),
        }
    }

    /// `anchored` or `smoothed`.
    fn border_modifier(&mut self, mut expr: Expr, border: Border) -> Result<Expr, ParseError> {
        self.next();
        let word = if border == Border::Anchored { "anchored" } else { "smoothed" };
        let whole = expr.pos();
        let wrong = |message: String| Err(ParseError { range: whole, message });
        if !self.features.extended_range_selectors {
            return wrong(format!("{word} modifier is experimental and not enabled"));
        }
        let pos = whole.to(self.range(0, self.last_end()));
        let (found, place) = match &mut expr {
            Expr::Vector(node) => (&mut node.border, &mut node.pos),
            Expr::Matrix(node) => (&mut node.selector.border, &mut node.pos),
            Expr::Subquery(_) => return wrong(format!("{word} modifier is not supported for subqueries")),
            _ => return wrong(format!("{word} modifier not implemented")),
        };
        if *found != Border::Plain && *found != border {
            return wrong("anchored and smoothed modifiers cannot be used together".to_owned());
        }
        (*found, *place) = (border, pos);
        Ok(expr)
    }

    fn offset_modifier(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.next();
        let length = self.offset_duration()?;
        let pos = expr.pos().to(self.range(0, self.last_end()));
        let found = modifiers(&mut expr, OFFSET_TARGET)?;
        if *found.offset != 0 || found.offset_expr.is_some() {
            let message = "offset may not be set multiple times".to_owned();
            return Err(ParseError { range: *found.pos, message });
        }
        (*found.offset, *found.offset_expr, *found.pos) = (length.millis, length.expr, pos);
        Ok(expr)
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.next();
        let time = match self.peek() {
            Kind::Keyword(keyword @ (Keyword::Start | Keyword::End)) => {
                let time = if *keyword == Keyword::Start { At::Start } else { At::End };
                self.next();
                self.expect(&Kind::LeftParen, "@", "timestamp")?;
                self.expect(&Kind::RightParen, "@", "timestamp")?;
                time
            }
            _ => At::Time(self.timestamp(expr.pos())?),
        };
        let pos = expr.pos().to(self.range(0, self.last_end()));
        let found = modifiers(&mut expr, AT_TARGET)?;
        if found.at.is_some() {
            let message = "@ <timestamp> may not be set multiple times".to_owned();
            return Err(ParseError { range: *found.pos, message });
        }
        (*found.at, *found.pos) = (Some(time), pos);
        Ok(expr)
    }

    /// Seconds with an optional sign, as milliseconds.
    fn timestamp(&mut self, place: PosRange) -> Result<i64, ParseError> {
        let negative = self.take_sign().unwrap_or(false);
        let Some(literal) = self.take_number()? else {
            return Err(self.unexpected("@", "timestamp"));
        };
        let seconds = if negative { -literal.value } else { literal.value };
        let millis = (seconds * 1000.0).round();
        // 2^53 ms is the year 287396; beyond it arithmetic on times could overflow.
        if !seconds.is_finite() || millis.abs() > (1_i64 << 53) as f64 {
            let message = format!("timestamp out of bounds for @ modifier: {seconds:.6}");
            return Err(ParseError { range: place, message });
        }
        Ok(millis as i64)
    }
}

/// What modifiers set.
struct Modified<'e> {
    offset: &'e mut i64,
    offset_expr: &'e mut Option<Box<DurationExpr>>,
    at: &'e mut Option<At>,
    pos: &'e mut PosRange,
}

/// What modifiers set of an expression that can have them.
fn modifiers<'e>(expr: &'e mut Expr, otherwise: &str) -> Result<Modified<'e>, ParseError> {
    Ok(match expr {
        Expr::Vector(VectorSelector { offset_ms, offset_expr, at, pos, .. })
        | Expr::Subquery(Subquery { offset_ms, offset_expr, at, pos, .. }) => {
            Modified { offset: offset_ms, offset_expr, at, pos }
        }
        Expr::Matrix(MatrixSelector { selector, pos, .. }) => {
            let VectorSelector { offset_ms, offset_expr, at, .. } = selector;
            Modified { offset: offset_ms, offset_expr, at, pos }
        }
        other => return Err(ParseError { range: other.pos(), message: otherwise.to_owned() }),
    })
}
