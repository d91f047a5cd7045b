//! The functions that templates may call, and what arguments they take.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::error::CallError;
use crate::value::Value;

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any value.
    Any,
    /// A text.
    Text,
    /// A whole number.
    Int,
    /// A float.
    Float,
}

impl Kind {
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Float => "float64",
        }
    }

    /// Whether a value may be passed as it is.
    pub(crate) fn takes(self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Text => value.as_text().is_some(),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Float => matches!(value, Value::Float(_)),
        }
    }
}

type Body = dyn Fn(&[Value]) -> Result<Value, CallError> + Send + Sync;

/// A function.
#[derive(Clone)]
pub struct Function {
    pub(crate) params: &'static [Kind],
    /// What all further arguments are, where there may be any.
    pub(crate) rest: Option<Kind>,
    body: Arc<Body>,
}

impl Function {
    /// A function with exactly these parameters.
    pub fn new(
        params: &'static [Kind],
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self { params, rest: None, body: Arc::new(body) }
    }

    /// A function with these parameters and any number of further ones.
    pub fn variadic(
        params: &'static [Kind],
        rest: Kind,
        body: impl Fn(&[Value]) -> Result<Value, CallError> + Send + Sync + 'static,
    ) -> Self {
        Self { params, rest: Some(rest), body: Arc::new(body) }
    }

    pub(crate) fn call(&self, args: &[Value]) -> Result<Value, CallError> {
        (self.body)(args)
    }

    /// What the argument at `at` must be.
    pub(crate) fn param(&self, at: usize) -> Kind {
        self.params.get(at).copied().or(self.rest).unwrap_or(Kind::Any)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "func({:?}, {:?}...)", self.params, self.rest)
    }
}

/// Functions by name. Go's own are always there.
#[derive(Clone, Debug)]
pub struct Functions(HashMap<&'static str, Function>);

impl Default for Functions {
    fn default() -> Self {
        Self::builtin()
    }
}

impl Functions {
    /// Go's own: `printf`, `len`, `eq` and so on.
    #[must_use]
    pub fn builtin() -> Self {
        Self(crate::builtins::all().into_iter().collect())
    }

    /// Adds a function; one of that name is replaced.
    pub fn add(&mut self, name: &'static str, function: Function) -> &mut Self {
        self.0.insert(name, function);
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.0.get(name)
    }

    /// Whether there is a function of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
