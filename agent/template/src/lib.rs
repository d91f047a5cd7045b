//! Go's text templates: what rules write labels and annotations with, and the alertmanager its messages.
//!
//! [`Template`] is a parsed text with everything it defines. [`Functions`] are what it may call: Go's own
//! ([`Functions::builtin`]), Prometheus's ([`prometheus_functions`]) or Alertmanager's ([`alert_functions`]).
//! Executing never blocks: a function whose answer is not known yet ends the execution with
//! [`ExecError::NeedsQuery`]; the caller finds the answer and executes again. [`AlertTemplates`] are the
//! alertmanager's defaults and files, [`Message`] is what they see. Knows nothing of rules, routes or engines.

mod alerts;
mod ast;
mod builtins;
mod error;
mod escape;
mod exec;
mod format;
mod functions;
mod glob;
mod html;
mod humanize;
mod json;
mod lexer;
mod literal;
mod markup;
mod message;
mod number;
mod parser;
mod prometheus;
mod time;
mod time_parse;
mod uri;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use alerts::{AlertTemplates, Rendering, alert_functions};
pub use builtins::query_escape;
pub use error::{CallError, ExecError, ParseError};
pub use functions::{Function, Functions, Kind};
pub use json::{JsonError, escape_json, to_json};
pub use message::{Message, MessageAlert, quote_meta};
pub use prometheus::{Answers, Environment, QueryAnswer, prometheus_functions};
pub use time::GoTime;
pub use value::{List, Map, Object, Value};

/// One template's tree and the text that its positions refer to.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) source: Arc<str>,
    pub(crate) text: Arc<str>,
    pub(crate) list: ast::List,
}

pub(crate) type Set = BTreeMap<Arc<str>, Arc<Body>>;

/// What one execution may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text, and of each text on the way there.
    pub output_bytes: usize,
    /// Nodes that are visited. What functions read and give counts too, so that steps bound the time.
    pub steps: usize,
    /// Templates, branches and parentheses inside each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { output_bytes: 1 << 20, steps: 1_000_000, depth: 250 }
    }
}

/// A template with everything that it defines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Template {
    name: Arc<str>,
    set: Set,
}

impl Template {
    /// Parses `text`; a function that is not among `functions` is an error.
    ///
    /// # Errors
    /// When `text` is no template.
    pub fn parse(name: &str, text: &str, functions: &Functions) -> Result<Self, ParseError> {
        let mut template = Self { name: name.into(), set: Set::new() };
        template.add(name, text, functions)?;
        Ok(template)
    }

    pub(crate) fn empty() -> Self {
        Self { name: "".into(), set: Set::new() }
    }

    /// Parses a further text, whose definitions replace those of the same name.
    ///
    /// # Errors
    /// When `text` is no template.
    pub fn add(&mut self, name: &str, text: &str, functions: &Functions) -> Result<(), ParseError> {
        let parsed = parser::parse(text, &|function| functions.has(function))
            .map_err(|(line, what)| ParseError { name: name.to_owned(), line, what })?;
        let (source, text): (Arc<str>, Arc<str>) = (name.into(), text.into());
        for (name, list) in parsed.defined.into_iter().chain([(Arc::clone(&source), parsed.body)]) {
            // White space between definitions does not replace what has that name.
            if list.is_blank() && self.set.contains_key(&name) {
                continue;
            }
            let body = Body { source: Arc::clone(&source), text: Arc::clone(&text), list };
            self.set.insert(name, Arc::new(body));
        }
        Ok(())
    }

    /// Whether a template of that name is defined.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.set.contains_key(name)
    }

    /// The text that the template gives for `data`.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn execute(&self, data: &Value, functions: &Functions, limits: Limits) -> Result<String, ExecError> {
        self.execute_named(&self.name, data, functions, limits)
    }

    /// The text that the template of that name gives for `data`.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn execute_named(
        &self,
        name: &str,
        data: &Value,
        functions: &Functions,
        limits: Limits,
    ) -> Result<String, ExecError> {
        let mut exec = exec::Exec::new(&self.set, (name, self.body(name)?), functions, limits);
        exec.run(data)?;
        Ok(exec.out)
    }

    /// The HTML that the template gives for `data`: its own text is trusted, and what it inserts is escaped
    /// for the place where it stands.
    ///
    /// # Errors
    /// See [`ExecError`].
    pub fn execute_html(
        &self,
        data: &Value,
        functions: &Functions,
        limits: Limits,
    ) -> Result<String, ExecError> {
        let name = &*self.name;
        let mut exec = exec::Exec::new(&self.set, (name, self.body(name)?), functions, limits).escaping();
        exec.run(data)?;
        Ok(exec.out)
    }

    fn body(&self, name: &str) -> Result<&Body, ExecError> {
        self.set.get(name).map(|body| &**body).ok_or_else(|| {
            let what = format!("template: no template {name:?} associated with template {:?}", self.name);
            ExecError::Failed(what)
        })
    }
}
