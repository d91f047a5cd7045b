//! Operators by binding power, calls and aggregations.

use super::Parser;
use super::token::{Keyword, Kind, Token};
use crate::ast::{Aggregate, Binary, Call, Expr, NumberLiteral, Paren, StringLiteral, Unary};
use crate::functions::function;
use crate::operator::{AggregateOp, BinaryOp, Cardinality, Matching};
use crate::position::{ParseError, PosRange};
use crate::quote::quote;

/// What a sign binds: as strong as `*`, weaker than `^`.
const SIGN_POWER: u8 = 6;

/// How strong an operator binds; 6 is right-associative.
fn power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        BinaryOp::TrimUpper | BinaryOp::TrimLower => 3,
        op if op.is_comparison() => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Pow => 6,
        _ => 5,
    }
}

impl Parser<'_> {
    /// An expression whose operators bind at least as strong as `least`.
    pub(super) fn expression(&mut self, least: u8) -> Result<Expr, ParseError> {
        let mut lhs = self.operand()?;
        loop {
            let op = match self.peek() {
                Kind::Operator(op) if power(*op) >= least => *op,
                _ => return Ok(lhs),
            };
            self.operators += 1;
            if self.operators > super::OPERATORS_MAX {
                let message = format!("query has more than {} binary operators", super::OPERATORS_MAX);
                return Err(ParseError { range: lhs.pos(), message });
            }
            self.next();
            let (return_bool, matching) = self.matching()?;
            let next_least = if op == BinaryOp::Pow { power(op) } else { power(op) + 1 };
            let rhs = self.nested(|parser| parser.expression(next_least))?;
            lhs = Expr::Binary(Binary {
                op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
                matching: Some(matching),
                return_bool,
            });
        }
    }

    fn matching(&mut self) -> Result<(bool, Matching), ParseError> {
        let return_bool = self.take(&Kind::Keyword(Keyword::Bool));
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if let Kind::Keyword(keyword @ (Keyword::On | Keyword::Ignoring)) = *self.peek() {
            self.next();
            matching.on = keyword == Keyword::On;
            matching.labels = self.grouping_labels()?;
            if let Kind::Keyword(keyword @ (Keyword::GroupLeft | Keyword::GroupRight)) = *self.peek() {
                self.next();
                let left = keyword == Keyword::GroupLeft;
                matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                // At the end of a query it is the labels that are missed.
                if matches!(self.peek(), Kind::LeftParen | Kind::Eof) {
                    matching.include = self.grouping_labels()?;
                }
            }
        }
        self.fill_modifiers(&mut matching)?;
        Ok((return_bool, matching))
    }

    /// `fill (…)`, or `fill_left (…)` and `fill_right (…)` in any order.
    fn fill_modifiers(&mut self, matching: &mut Matching) -> Result<(), ParseError> {
        while let Kind::Keyword(keyword @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) =
            *self.peek()
        {
            let taken = match keyword {
                Keyword::Fill => matching.fills(),
                Keyword::FillLeft => matching.fill_left.is_some(),
                _ => matching.fill_right.is_some(),
            };
            if taken {
                return Err(self.unexpected("", ""));
            }
            let word = self.next();
            self.expect(&Kind::LeftParen, "fill modifier", "\"(\"")?;
            let negative = self.take_sign().unwrap_or(false);
            let Some(number) = self.take_number()? else {
                return Err(self.unexpected("fill modifier", "number"));
            };
            self.expect(&Kind::RightParen, "fill modifier", "\")\"")?;
            if !self.features.fill_modifiers {
                let message = "binop fill modifiers are experimental and not enabled".to_owned();
                return Err(ParseError { range: self.range_of(&word), message });
            }
            let value = if negative { -number.value } else { number.value };
            if keyword != Keyword::FillRight {
                matching.fill_left = Some(value);
            }
            if keyword != Keyword::FillLeft {
                matching.fill_right = Some(value);
            }
            if keyword == Keyword::Fill {
                break;
            }
        }
        Ok(())
    }

    fn grouping_labels(&mut self) -> Result<Vec<String>, ParseError> {
        self.expect(&Kind::LeftParen, "grouping opts", "\"(\"")?;
        let mut labels = Vec::new();
        while !self.take(&Kind::RightParen) {
            let label = match self.peek() {
                Kind::String => {
                    let token = self.next();
                    self.string(&token)?
                }
                kind if kind.can_name_label() => {
                    let token = self.next();
                    self.text_of(&token).to_owned()
                }
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            labels.push(label);
            if !self.take(&Kind::Comma) && self.peek() != &Kind::RightParen {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
        Ok(labels)
    }

    /// An operand with its signs and suffixes.
    fn operand(&mut self) -> Result<Expr, ParseError> {
        let start = self.tokens[self.at].start;
        if let Some(negative) = self.take_sign() {
            let inner = self.nested(|parser| parser.expression(SIGN_POWER))?;
            let pos = self.range(start, start).to(inner.pos());
            return Ok(match inner {
                Expr::Number(number) => Expr::Number(NumberLiteral {
                    value: if negative { -number.value } else { number.value },
                    pos,
                    ..number
                }),
                inner => Expr::Unary(Unary { negative, expr: Box::new(inner), pos }),
            });
        }
        let expr = self.primary()?;
        self.suffixes(expr)
    }

    fn primary(&mut self) -> Result<Expr, ParseError> {
        if let Some(number) = self.take_number()? {
            return Ok(Expr::Number(number));
        }
        match self.peek() {
            Kind::String => {
                let token = self.next();
                let (value, invalid) = self.text(&token)?;
                Ok(Expr::String(StringLiteral { value, invalid, pos: self.range_of(&token) }))
            }
            Kind::LeftParen => {
                let open = self.next();
                let expr = Box::new(self.nested(|parser| parser.expression(0))?);
                let close = self.expect(&Kind::RightParen, "", "")?;
                Ok(Expr::Paren(Paren { expr, pos: self.range(open.start, close.end) }))
            }
            Kind::Aggregator(op) if self.aggregation_follows() => {
                let op = *op;
                self.aggregation(op)
            }
            Kind::Identifier
            | Kind::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range)
                if self.peek_at(1) == &Kind::LeftParen =>
            {
                self.call()
            }
            _ => Ok(Expr::Vector(self.vector_selector()?)),
        }
    }

    fn aggregation_follows(&self) -> bool {
        matches!(self.peek_at(1), Kind::LeftParen | Kind::Keyword(Keyword::By | Keyword::Without))
    }

    fn aggregation(&mut self, op: AggregateOp) -> Result<Expr, ParseError> {
        let word = self.next();
        let mut modifier = self.aggregation_modifier()?;
        if self.peek() != &Kind::LeftParen {
            return Err(self.unexpected("aggregation", ""));
        }
        let mut args = self.arguments()?;
        if modifier.is_none() {
            modifier = self.aggregation_modifier()?;
        }
        let (without, grouping) = modifier.unwrap_or_default();
        let pos = self.range(word.start, self.last_end());
        let wrong = |message: String| Err(ParseError { range: pos, message });
        if !self.features.experimental_functions
            && matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio)
        {
            return wrong(format!(
                "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                op.name()
            ));
        }
        if args.is_empty() {
            return wrong("no arguments for aggregate expression provided".to_owned());
        }
        let wanted = if op.param_type().is_some() { 2 } else { 1 };
        if args.len() != wanted {
            return wrong(format!(
                "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                args.len()
            ));
        }
        let expr = Box::new(args.remove(wanted - 1));
        let param = args.pop().map(Box::new);
        Ok(Expr::Aggregate(Aggregate { op, expr, param, grouping, without, pos }))
    }

    /// `by (…)` or `without (…)`, if one comes next: whether it is `without`, and the labels.
    fn aggregation_modifier(&mut self) -> Result<Option<(bool, Vec<String>)>, ParseError> {
        let without = match self.peek() {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.next();
        Ok(Some((without, self.grouping_labels()?)))
    }

    fn arguments(&mut self) -> Result<Vec<Expr>, ParseError> {
        self.expect(&Kind::LeftParen, "", "")?;
        let mut args = Vec::new();
        while !self.take(&Kind::RightParen) {
            args.push(self.nested(|parser| parser.expression(0))?);
            if self.peek() == &Kind::Comma {
                let comma = self.next();
                if self.peek() == &Kind::RightParen {
                    let message = "trailing commas not allowed in function call args".to_owned();
                    return Err(ParseError { range: self.range_of(&comma), message });
                }
            } else if self.peek() != &Kind::RightParen {
                return Err(self.unexpected("", ""));
            }
        }
        Ok(args)
    }

    fn call(&mut self) -> Result<Expr, ParseError> {
        let name = self.next();
        let place = self.range_of(&name);
        // What does not read as a call at all is said before what is not known.
        let args = self.arguments()?;
        let known = self.function_of(&name, place)?;
        let pos = self.range(name.start, self.last_end());
        Ok(Expr::Call(Call { function: known, args, pos }))
    }

    fn function_of(
        &self,
        name: &Token,
        place: PosRange,
    ) -> Result<&'static crate::functions::Function, ParseError> {
        let text = self.text_of(name);
        let wrong = |message: String| Err(ParseError { range: place, message });
        match function(text) {
            None => wrong(format!("unknown function with name {}", quote(text))),
            Some(found) if found.experimental && !self.features.experimental_functions => {
                wrong(format!("function {} is not enabled", quote(text)))
            }
            Some(found) => Ok(found),
        }
    }
}
