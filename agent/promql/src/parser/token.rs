//! Tokens, and how error messages name them.

use crate::operator::{AggregateOp, BinaryOp};
use crate::quote::quote;

/// A piece of a query.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// What it is.
    pub(crate) kind: Kind,
    /// First byte.
    pub(crate) start: usize,
    /// The byte after the last one.
    pub(crate) end: usize,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Eof,
    /// What the lexer could not read, and why. Always the last token.
    Error(String),
    Comma,
    Colon,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    At,
    /// A single `=`.
    Assign,
    EqualRegex,
    NotEqualRegex,
    Operator(BinaryOp),
    Number,
    Duration,
    String,
    /// A name without colons.
    Identifier,
    /// A name with colons.
    MetricIdentifier,
    Aggregator(AggregateOp),
    Keyword(Keyword),
}

/// Words with a meaning of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keyword {
    Offset,
    Smoothed,
    Anchored,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Bool,
    Start,
    End,
    Step,
    Range,
}

const KEYWORDS: [(&str, Keyword); 17] = [
    ("offset", Keyword::Offset),
    ("smoothed", Keyword::Smoothed),
    ("anchored", Keyword::Anchored),
    ("by", Keyword::By),
    ("without", Keyword::Without),
    ("on", Keyword::On),
    ("ignoring", Keyword::Ignoring),
    ("group_left", Keyword::GroupLeft),
    ("group_right", Keyword::GroupRight),
    ("fill", Keyword::Fill),
    ("fill_left", Keyword::FillLeft),
    ("fill_right", Keyword::FillRight),
    ("bool", Keyword::Bool),
    ("start", Keyword::Start),
    ("end", Keyword::End),
    ("step", Keyword::Step),
    ("range", Keyword::Range),
];

impl Kind {
    /// What a word outside braces is; words mean the same in any case.
    pub(crate) fn of_word(word: &str) -> Self {
        let same = |known: &str| word.eq_ignore_ascii_case(known);
        if let Some((_, op)) = AggregateOp::ALL.iter().find(|(name, _)| same(name)) {
            return Self::Aggregator(*op);
        }
        for op in [BinaryOp::And, BinaryOp::Or, BinaryOp::Unless, BinaryOp::Atan2] {
            if same(op.text()) {
                return Self::Operator(op);
            }
        }
        if let Some((_, keyword)) = KEYWORDS.iter().find(|(name, _)| same(name)) {
            return Self::Keyword(*keyword);
        }
        if same("inf") || same("nan") {
            return Self::Number;
        }
        if word.contains(':') { Self::MetricIdentifier } else { Self::Identifier }
    }

    /// Whether the token can name a metric where an expression starts.
    pub(crate) fn can_name_metric(&self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregator(_) => true,
            Self::Operator(op) => op.is_set(),
            Self::Keyword(keyword) => !matches!(
                keyword,
                Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
            ),
            _ => false,
        }
    }

    /// Whether the token can name a label in a grouping.
    pub(crate) fn can_name_label(&self) -> bool {
        matches!(self, Self::Identifier | Self::Aggregator(_) | Self::Keyword(_))
            || matches!(self, Self::Operator(op) if op.is_set() || *op == BinaryOp::Atan2)
    }

    /// How "unexpected …" names the token.
    pub(crate) fn describe(&self, text: &str) -> String {
        match self {
            Self::Eof => "end of input".to_owned(),
            Self::Error(message) => message.clone(),
            Self::Identifier => format!("identifier {}", quote(text)),
            Self::MetricIdentifier => format!("metric identifier {}", quote(text)),
            Self::Number => format!("number {}", shortened(text)),
            Self::Duration => format!("duration {}", shortened(text)),
            Self::String => format!("string {}", shortened(text)),
            Self::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range) => quote(text),
            Self::Keyword(_) => format!("<{text}>"),
            Self::Aggregator(_) => format!("<aggr:{text}>"),
            Self::Operator(_) | Self::At | Self::EqualRegex | Self::NotEqualRegex => {
                format!("<op:{text}>")
            }
            _ => quote(text),
        }
    }
}

/// The text quoted, cut after ten characters.
fn shortened(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    format!("{}...", quote(&text.chars().take(10).collect::<String>()))
}
