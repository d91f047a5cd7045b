//! The tree of a template. Every node prints as Go prints it, because error texts quote nodes.

use std::fmt;
use std::sync::Arc;

/// Byte offset in the template's text.
pub(crate) type Pos = usize;

/// A sequence of nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct List(pub(crate) Vec<Node>);

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(Arc<str>),
    Action(Action),
    Branch(Branch),
    Template(Call),
    Break,
    Continue,
}

/// `{{pipeline}}`.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    pub(crate) pos: Pos,
    pub(crate) pipe: Pipe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BranchKind {
    If,
    With,
    Range,
}

/// `{{if}}`, `{{with}}` or `{{range}}` up to its `{{end}}`.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) kind: BranchKind,
    pub(crate) pos: Pos,
    pub(crate) pipe: Pipe,
    pub(crate) body: List,
    pub(crate) otherwise: Option<List>,
}

/// `{{template "name" pipeline}}`.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) pos: Pos,
    pub(crate) name: Arc<str>,
    pub(crate) pipe: Option<Pipe>,
}

/// Commands joined by `|`, and the variables that get the result.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) pos: Pos,
    pub(crate) variables: Vec<Arc<str>>,
    /// Whether the variables exist already (`=`, not `:=`).
    pub(crate) assign: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand with arguments.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) pos: Pos,
    pub(crate) args: Vec<Expr>,
}

#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Dot(Pos),
    Nil(Pos),
    Bool(Pos, bool),
    Number(Pos, Number),
    /// The text, and how it was written.
    Text(Pos, Arc<str>, Arc<str>),
    Field(Pos, Vec<Arc<str>>),
    /// The variable with its `$`, then fields.
    Variable(Pos, Vec<Arc<str>>),
    Function(Pos, Arc<str>),
    Chain(Pos, Box<Expr>, Vec<Arc<str>>),
    Pipe(Pipe),
}

/// A number as written, and what it can be read as.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) text: Arc<str>,
    pub(crate) int: Option<i64>,
    pub(crate) float: Option<f64>,
    /// Whether it is written as a float: without a type of its own it then is one.
    pub(crate) is_float: bool,
}

/// A node that an error can name.
pub(crate) trait Located: fmt::Display {
    fn pos(&self) -> Pos;
}

macro_rules! located {
    ($($node:ty),*) => {$(
        impl Located for $node {
            fn pos(&self) -> Pos {
                self.pos
            }
        }
    )*};
}

located!(Action, Branch, Call, Pipe, Command);

impl Located for Expr {
    fn pos(&self) -> Pos {
        match self {
            Self::Dot(pos)
            | Self::Nil(pos)
            | Self::Bool(pos, _)
            | Self::Number(pos, _)
            | Self::Text(pos, ..)
            | Self::Field(pos, _)
            | Self::Variable(pos, _)
            | Self::Function(pos, _)
            | Self::Chain(pos, ..) => *pos,
            Self::Pipe(pipe) => pipe.pos,
        }
    }
}

impl Command {
    /// The function that the command calls.
    pub(crate) fn lone_function(&self) -> Option<&str> {
        match self.args.first() {
            Some(Expr::Function(_, name)) => Some(name),
            _ => None,
        }
    }
}

impl List {
    /// Whether there is nothing but white space: such a definition may be replaced.
    pub(crate) fn is_blank(&self) -> bool {
        self.0.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|node| write!(f, "{node}"))
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Action(action) => write!(f, "{action}"),
            Self::Branch(branch) => write!(f, "{branch}"),
            Self::Template(call) => write!(f, "{call}"),
            Self::Break => f.write_str("{{break}}"),
            Self::Continue => f.write_str("{{continue}}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{{}}}}}", self.pipe)
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        write!(f, "{{{{{word} {}}}}}{}", self.pipe, self.body)?;
        if let Some(otherwise) = &self.otherwise {
            write!(f, "{{{{else}}}}{otherwise}")?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {:?}", self.name)?;
        if let Some(pipe) = &self.pipe {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            f.write_str(&self.variables.join(", "))?;
            f.write_str(if self.assign { " = " } else { " := " })?;
        }
        for (at, command) in self.commands.iter().enumerate() {
            if at > 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{command}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, arg) in self.args.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            match arg {
                Expr::Pipe(pipe) => write!(f, "({pipe})")?,
                other => write!(f, "{other}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dot(_) => f.write_str("."),
            Self::Nil(_) => f.write_str("nil"),
            Self::Bool(_, value) => write!(f, "{value}"),
            Self::Number(_, number) => f.write_str(&number.text),
            Self::Text(_, _, written) => f.write_str(written),
            Self::Field(_, names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            Self::Variable(_, names) => f.write_str(&names.join(".")),
            Self::Function(_, name) => f.write_str(name),
            Self::Chain(_, inner, names) => {
                match inner.as_ref() {
                    Self::Pipe(pipe) => write!(f, "({pipe})")?,
                    other => write!(f, "{other}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            Self::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}
