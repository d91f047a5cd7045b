//! Selectors and what may follow an expression: range, subquery, `offset`, `@`.

use model::{METRIC_NAME, MatchOp, Matcher};

use super::Parser;
use super::token::{Keyword, Kind};
use crate::ast::{At, Expr, MatrixSelector, Subquery, VectorSelector};
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
        Ok(VectorSelector { name, matchers, offset_ms: 0, at: None, pos })
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
                Kind::Keyword(Keyword::Anchored | Keyword::Smoothed) => {
                    return Err(self.unsupported("anchored and smoothed modifiers"));
                }
                _ => return Ok(expr),
            };
        }
    }

    fn range_or_subquery(&mut self, expr: Expr) -> Result<Expr, ParseError> {
        let open = self.next();
        let range_ms = self.positive_duration("subquery or range selector")?;
        match self.peek() {
            Kind::RightBracket => {
                let close = self.next();
                self.matrix_selector(expr, range_ms, self.range(open.start, close.end))
            }
            Kind::Colon => {
                self.next();
                let step_ms = match self.peek() {
                    Kind::RightBracket => None,
                    _ => Some(self.positive_duration("subquery selector")?),
                };
                let close = self.expect(&Kind::RightBracket, "subquery selector", "\"]\"")?;
                let pos = expr.pos().to(self.range(open.start, close.end));
                let expr = Box::new(expr);
                Ok(Expr::Subquery(Subquery { expr, range_ms, step_ms, offset_ms: 0, at: None, pos }))
            }
            Kind::DoubleColon => Err(self.unsupported("aligned subqueries")),
            _ => Err(self.unexpected("subquery or range", "\":\" or \"]\"")),
        }
    }

    fn matrix_selector(&self, expr: Expr, range_ms: i64, brackets: PosRange) -> Result<Expr, ParseError> {
        let wrong = |message: &str| Err(ParseError { range: brackets, message: message.to_owned() });
        match expr {
            Expr::Vector(selector) if selector.offset_ms != 0 => {
                wrong("no offset modifiers allowed before range")
            }
            Expr::Vector(selector) if selector.at.is_some() => wrong("no @ modifiers allowed before range"),
            Expr::Vector(selector) => {
                let pos = selector.pos.to(brackets);
                Ok(Expr::Matrix(MatrixSelector { selector, range_ms, pos }))
            }
            _ => wrong("ranges only allowed for vector selectors"),
        }
    }

    fn offset_modifier(&mut self, mut expr: Expr) -> Result<Expr, ParseError> {
        self.next();
        let millis = self.signed_duration("offset")?;
        let pos = expr.pos().to(self.range(0, self.last_end()));
        let (offset, _, place) = modifiers(&mut expr, OFFSET_TARGET)?;
        if *offset != 0 {
            let message = "offset may not be set multiple times".to_owned();
            return Err(ParseError { range: *place, message });
        }
        *offset = millis;
        *place = pos;
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
        let (_, at, place) = modifiers(&mut expr, AT_TARGET)?;
        if at.is_some() {
            let message = "@ <timestamp> may not be set multiple times".to_owned();
            return Err(ParseError { range: *place, message });
        }
        *at = Some(time);
        *place = pos;
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

/// The offset, pinned time and place of an expression that can have them.
fn modifiers<'e>(
    expr: &'e mut Expr,
    otherwise: &str,
) -> Result<(&'e mut i64, &'e mut Option<At>, &'e mut PosRange), ParseError> {
    match expr {
        Expr::Vector(node) => Ok((&mut node.offset_ms, &mut node.at, &mut node.pos)),
        Expr::Matrix(node) => Ok((&mut node.selector.offset_ms, &mut node.selector.at, &mut node.pos)),
        Expr::Subquery(node) => Ok((&mut node.offset_ms, &mut node.at, &mut node.pos)),
        other => Err(ParseError { range: other.pos(), message: otherwise.to_owned() }),
    }
}
