//! The operators: aggregations, binary operators and how their sides match.

use crate::ast::ValueType;

/// An aggregation operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    /// Sum.
    Sum,
    /// Arithmetic mean.
    Avg,
    /// Number of elements.
    Count,
    /// Smallest.
    Min,
    /// Largest.
    Max,
    /// Always 1.
    Group,
    /// Population standard deviation.
    Stddev,
    /// Population variance.
    Stdvar,
    /// The k largest.
    Topk,
    /// The k smallest.
    Bottomk,
    /// How often each value occurs.
    CountValues,
    /// φ-quantile.
    Quantile,
    /// Any k elements.
    Limitk,
    /// A share of the elements, chosen by hash.
    LimitRatio,
}

impl AggregateOp {
    /// All operators with their names.
    pub(crate) const ALL: [(&'static str, Self); 14] = [
        ("sum", Self::Sum),
        ("avg", Self::Avg),
        ("count", Self::Count),
        ("min", Self::Min),
        ("max", Self::Max),
        ("group", Self::Group),
        ("stddev", Self::Stddev),
        ("stdvar", Self::Stdvar),
        ("topk", Self::Topk),
        ("bottomk", Self::Bottomk),
        ("count_values", Self::CountValues),
        ("quantile", Self::Quantile),
        ("limitk", Self::Limitk),
        ("limit_ratio", Self::LimitRatio),
    ];

    /// The name in queries.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, op)| *op == self).map_or("", |(name, _)| name)
    }

    /// The type of the parameter, for operators that take one.
    #[must_use]
    pub fn param_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }
}

/// A binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `atan2`
    Atan2,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `and`
    And,
    /// `or`
    Or,
    /// `unless`
    Unless,
    /// `</`: a native histogram without what is above.
    TrimUpper,
    /// `>/`: a native histogram without what is below.
    TrimLower,
}

impl BinaryOp {
    /// The operator as queries write it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
        }
    }

    /// Whether it compares.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::NotEqual | Self::Less | Self::LessEqual | Self::Greater | Self::GreaterEqual
        )
    }

    /// Whether it works on sets of series instead of values.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }
}

/// How many series of one side go with how many of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cardinality {
    /// One left with one right.
    OneToOne,
    /// Many left with one right: `group_left`.
    ManyToOne,
    /// One left with many right: `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of two sides find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Matching {
    /// How many go with how many.
    pub cardinality: Cardinality,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Whether the labels are those to compare (`on`), not those to leave out.
    pub on: bool,
    /// Labels that `group_left` or `group_right` takes from the "one" side.
    pub include: Vec<String>,
    /// What stands for a series that is missing on the left: `fill_left`, `fill`.
    pub fill_left: Option<f64>,
    /// What stands for a series that is missing on the right: `fill_right`, `fill`.
    pub fill_right: Option<f64>,
}

impl Matching {
    /// Whether a missing series is filled in.
    #[must_use]
    pub fn fills(&self) -> bool {
        self.fill_left.is_some() || self.fill_right.is_some()
    }
}
