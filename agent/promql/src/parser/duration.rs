//! Lengths of time: numbers and durations, and arithmetic with them and with the query's own range and step.

use super::Parser;
use super::literal::seconds_to_millis;
use super::token::{Keyword, Kind};
use crate::ast::NumberLiteral;
use crate::duration::{DurationExpr, DurationKind};
use crate::operator::BinaryOp;
use crate::position::ParseError;

/// How strong an operator binds here; the sign is as strong as `*`.
fn power(op: BinaryOp) -> Option<u8> {
    Some(match op {
        BinaryOp::Add | BinaryOp::Sub => 1,
        BinaryOp::Mul | BinaryOp::Div | BinaryOp::Mod => 2,
        BinaryOp::Pow => 3,
        _ => return None,
    })
}

const SIGN_POWER: u8 = 3;

/// Operators in one length of time.
const OPERATORS_MAX: usize = 256;

/// A length of time as the tree holds it: milliseconds, or what they are computed from.
#[derive(Debug, Default)]
pub(super) struct Length {
    pub(super) millis: i64,
    pub(super) expr: Option<Box<DurationExpr>>,
}

fn number(literal: NumberLiteral) -> DurationExpr {
    DurationExpr { pos: literal.pos, kind: DurationKind::Number(literal), wrapped: false }
}

impl Parser<'_> {
    /// A length inside brackets, above zero as far as that shows here.
    pub(super) fn bracket_duration(&mut self, context: &str, expected: &str) -> Result<Length, ParseError> {
        if !self.starts_duration() {
            return Err(self.unexpected(context, expected));
        }
        self.duration_operators = 0;
        let expr = self.duration_expr(1)?;
        if let DurationKind::Number(literal) = &expr.kind {
            let millis = self.millis(literal)?;
            if literal.value <= 0.0 {
                return Err(ParseError {
                    range: literal.pos,
                    message: "duration must be greater than 0".to_owned(),
                });
            }
            return Ok(Length { millis, expr: None });
        }
        Ok(Length { millis: 0, expr: Some(Box::new(expr)) })
    }

    /// What follows `offset`: it ends with a plain number, so `a offset 1m + 1m` is a sum of series.
    pub(super) fn offset_duration(&mut self) -> Result<Length, ParseError> {
        self.duration_operators = 0;
        let start = self.tokens[self.at].start;
        let sign = self.take_sign();
        if !self.starts_duration() || matches!(self.peek(), Kind::Operator(_)) {
            return Err(self.unexpected("offset", "number, duration, step(), or range()"));
        }
        let mut expr = self.duration_primary()?;
        if sign == Some(true) {
            expr = self.negated(start, expr);
        }
        if let DurationKind::Number(literal) = &expr.kind {
            return Ok(Length { millis: self.millis(literal)?, expr: None });
        }
        Ok(Length { millis: 0, expr: Some(Box::new(expr)) })
    }

    fn millis(&self, literal: &NumberLiteral) -> Result<i64, ParseError> {
        let out_of_range = || ParseError { range: literal.pos, message: "duration out of range".to_owned() };
        seconds_to_millis(literal.value).ok_or_else(out_of_range)
    }

    fn starts_duration(&self) -> bool {
        match self.peek() {
            Kind::Number | Kind::Duration | Kind::LeftParen => true,
            Kind::Operator(op) => matches!(op, BinaryOp::Add | BinaryOp::Sub),
            Kind::Keyword(Keyword::Step | Keyword::Range) => true,
            Kind::Identifier => self.extreme().is_some(),
            _ => false,
        }
    }

    /// Whether `min_of` (true) or `max_of` comes next.
    fn extreme(&self) -> Option<bool> {
        let word = self.text_of(&self.tokens[self.at]);
        if word.eq_ignore_ascii_case("min_of") {
            Some(true)
        } else {
            word.eq_ignore_ascii_case("max_of").then_some(false)
        }
    }

    fn duration_expr(&mut self, least: u8) -> Result<DurationExpr, ParseError> {
        let start = self.tokens[self.at].start;
        let mut lhs = match self.take_sign() {
            Some(negative) => {
                let inner = self.nested(|parser| parser.duration_expr(SIGN_POWER))?;
                if negative { self.negated(start, inner) } else { inner }
            }
            None => self.duration_primary()?,
        };
        loop {
            let Kind::Operator(op) = *self.peek() else { return Ok(lhs) };
            let Some(power) = power(op).filter(|power| *power >= least) else { return Ok(lhs) };
            let token = self.next();
            self.duration_operators += 1;
            if self.duration_operators > OPERATORS_MAX {
                let message = format!("duration has more than {OPERATORS_MAX} operators");
                return Err(ParseError { range: lhs.pos, message });
            }
            let next_least = if op == BinaryOp::Pow { power } else { power + 1 };
            let rhs = self.nested(|parser| parser.duration_expr(next_least))?;
            let zero = matches!(&rhs.kind, DurationKind::Number(literal) if literal.value == 0.0);
            let by_zero = match op {
                BinaryOp::Div if zero => Some("division by zero"),
                BinaryOp::Mod if zero => Some("modulo by zero"),
                _ => None,
            };
            if let Some(message) = by_zero {
                return Err(ParseError { range: self.range_of(&token), message: message.to_owned() });
            }
            let pos = lhs.pos.to(rhs.pos);
            let kind = DurationKind::Binary(op, Box::new(lhs), Box::new(rhs));
            lhs = DurationExpr { kind, wrapped: false, pos };
        }
    }

    fn duration_primary(&mut self) -> Result<DurationExpr, ParseError> {
        let start = self.tokens[self.at].start;
        if let Some(literal) = self.take_number()? {
            self.millis(&literal)?;
            return Ok(number(literal));
        }
        let kind = match self.peek() {
            Kind::LeftParen => {
                self.next();
                let mut inner = self.nested(|parser| parser.duration_expr(1))?;
                self.expect(&Kind::RightParen, "", "")?;
                // A number in parentheses is the number.
                inner.wrapped = !matches!(inner.kind, DurationKind::Number(_));
                return Ok(inner);
            }
            Kind::Keyword(keyword @ (Keyword::Step | Keyword::Range)) => {
                let kind = if *keyword == Keyword::Step { DurationKind::Step } else { DurationKind::Range };
                self.next();
                self.expect(&Kind::LeftParen, "", "")?;
                kind
            }
            Kind::Identifier if self.extreme().is_some() => {
                let smaller = self.extreme() == Some(true);
                self.next();
                self.expect(&Kind::LeftParen, "", "")?;
                let one = Box::new(self.nested(|parser| parser.duration_expr(1))?);
                self.expect(&Kind::Comma, "", "")?;
                let two = Box::new(self.nested(|parser| parser.duration_expr(1))?);
                if smaller { DurationKind::MinOf(one, two) } else { DurationKind::MaxOf(one, two) }
            }
            _ => return Err(self.unexpected("", "")),
        };
        self.expect(&Kind::RightParen, "", "")?;
        Ok(DurationExpr { kind, wrapped: false, pos: self.range(start, self.last_end()) })
    }

    fn negated(&self, start: usize, inner: DurationExpr) -> DurationExpr {
        let pos = self.range(start, start).to(inner.pos);
        match inner.kind {
            DurationKind::Number(literal) => number(NumberLiteral { value: -literal.value, pos, ..literal }),
            _ => DurationExpr { kind: DurationKind::Negative(Box::new(inner)), wrapped: false, pos },
        }
    }
}
