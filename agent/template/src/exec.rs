//! Walks a template's tree and writes its text.

use std::sync::Arc;

use crate::ast::{Action, Branch, BranchKind, Call, Command, Expr, List, Located, Node, Number, Pipe};
use crate::error::{CallError, ExecError};
use crate::functions::{Function, Functions, Kind};
use crate::html::Escaper;
use crate::time::duration_method;
use crate::value::Value;
use crate::{Body, Limits, Set};

/// Bytes that a function reads or gives for the price of one step, so that steps bound the time.
const BYTES_A_STEP: usize = 64;

/// How a list of nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(crate) struct Exec<'a> {
    set: &'a Set,
    functions: &'a Functions,
    limits: Limits,
    pub(crate) out: String,
    steps: usize,
    depth: usize,
    variables: Vec<(Arc<str>, Value)>,
    at: Option<&'a dyn Located>,
    template: (&'a str, &'a Body),
    /// Where the text is HTML: what the next value must be escaped for.
    html: Option<Escaper>,
}

type Outcome<T> = Result<T, ExecError>;

impl<'a> Exec<'a> {
    pub(crate) fn new(
        set: &'a Set,
        template: (&'a str, &'a Body),
        functions: &'a Functions,
        limits: Limits,
    ) -> Self {
        Self {
            set,
            functions,
            limits,
            out: String::new(),
            steps: 0,
            depth: 0,
            variables: Vec::new(),
            at: None,
            template,
            html: None,
        }
    }

    /// The text is HTML: values are escaped for the place where they stand.
    pub(crate) fn escaping(mut self) -> Self {
        self.html = Some(Escaper::default());
        self
    }

    pub(crate) fn run(&mut self, data: &Value) -> Outcome<()> {
        self.variables = vec![("$".into(), data.clone())];
        let body: &'a Body = self.template.1;
        self.list(&body.list, data).map(|_| ())
    }

    fn fail<T>(&self, what: impl AsRef<str>) -> Outcome<T> {
        let (name, body) = self.template;
        let what = what.as_ref();
        let Some(node) = self.at else {
            return Err(ExecError::Failed(format!("template: {name}: {what}")));
        };
        let before = &body.text[..node.pos().min(body.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
        let place = format!("{}:{line}:{column}", body.source);
        Err(ExecError::Failed(format!("template: {place}: executing {name:?} at <{node}>: {what}")))
    }

    /// One more step; also the place where output and depth are held to their limits.
    fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return self.fail(format!("exceeded the limit of {} steps", self.limits.steps));
        }
        Ok(())
    }

    fn work(&mut self, bytes: usize) -> Outcome<()> {
        self.steps = self.steps.saturating_add(bytes / BYTES_A_STEP);
        self.step()
    }

    /// A value's text; one that would be over the limit is an error.
    fn shown(&self, value: &Value) -> Outcome<String> {
        let most = self.limits.output_bytes;
        match value.show(most) {
            Ok(text) => Ok(text),
            Err(_) => self.fail(format!("exceeded the limit of {most} bytes of text")),
        }
    }

    /// The template's own text.
    fn write_literal(&mut self, text: &str) -> Outcome<()> {
        match &mut self.html {
            Some(escaper) => {
                let kept = escaper.literal(text);
                self.write(&kept)
            }
            None => self.write(text),
        }
    }

    fn write(&mut self, text: &str) -> Outcome<()> {
        if self.out.len() + text.len() > self.limits.output_bytes {
            return self.fail(format!("exceeded the limit of {} bytes of text", self.limits.output_bytes));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return self.fail(format!("exceeded maximum template depth ({})", self.limits.depth));
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn list(&mut self, list: &'a List, dot: &Value) -> Outcome<Flow> {
        for node in &list.0 {
            self.step()?;
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Outcome<Flow> {
        match node {
            Node::Text(text) => self.write_literal(text)?,
            Node::Action(action) => self.action(action, dot)?,
            Node::Branch(branch) => return self.deeper(|exec| exec.branch(branch, dot)),
            Node::Template(call) => self.deeper(|exec| exec.call_template(call, dot))?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn action(&mut self, action: &'a Action, dot: &Value) -> Outcome<()> {
        self.at = Some(action);
        if !action.pipe.variables.is_empty() {
            return self.pipe(&action.pipe, dot).map(|_| ());
        }
        // In HTML, a pipe that ends with an escaper of its own is not escaped twice.
        let own = self.html.as_ref().and_then(|_| action.pipe.commands.last()?.lone_function());
        let own = own.filter(|name| matches!(*name, "html" | "urlquery"));
        let value = self.pipe(&action.pipe, dot)?;
        self.at = Some(action);
        let text = match self.html.take() {
            None => self.shown(&value)?,
            Some(mut escaper) => {
                let escaped = escaper.value(&value, own, self.limits.output_bytes);
                self.html = Some(escaper);
                match escaped {
                    Ok(text) => text,
                    Err(what) => return self.fail(what),
                }
            }
        };
        self.work(text.len())?;
        self.write(&text)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value) -> Outcome<Flow> {
        self.at = Some(branch);
        let mark = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match branch.kind {
            BranchKind::Range => self.range(branch, &value, dot)?,
            kind if value.is_true() => {
                let inner = if kind == BranchKind::With { &value } else { dot };
                self.list(&branch.body, inner)?
            }
            _ => self.otherwise(branch, dot)?,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn otherwise(&mut self, branch: &'a Branch, dot: &Value) -> Outcome<Flow> {
        branch.otherwise.as_ref().map_or(Ok(Flow::On), |list| self.list(list, dot))
    }

    fn range(&mut self, branch: &'a Branch, value: &Value, dot: &Value) -> Outcome<Flow> {
        let items: Box<dyn Iterator<Item = (Value, Value)>> = match value.contents() {
            Value::Nil if matches!(value, Value::Nil) => Box::new(std::iter::empty()),
            Value::List(items) => {
                let count = items.len();
                Box::new((0..count).map(move |at| (index_value(at), items[at].clone())))
            }
            Value::Map(map) => {
                let items: Vec<_> =
                    map.iter().map(|(key, value)| (Value::Text(Arc::clone(key)), value.clone())).collect();
                Box::new(items.into_iter())
            }
            Value::Int(count) => Box::new((0..count.max(0)).map(|at| (Value::Int(at), Value::Int(at)))),
            _ => {
                let shown = self.shown(value)?;
                return self.fail(format!("range can't iterate over {shown}"));
            }
        };
        let mark = self.variables.len();
        let mut any = false;
        for (key, item) in items {
            any = true;
            self.step()?;
            self.set_loop_variables(&branch.pipe, key, &item)?;
            let flow = self.list(&branch.body, &item)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        if any { Ok(Flow::On) } else { self.otherwise(branch, dot) }
    }

    fn set_loop_variables(&mut self, pipe: &Pipe, key: Value, item: &Value) -> Outcome<()> {
        match pipe.variables.as_slice() {
            [] => Ok(()),
            [only] => self.set_variable(only, item.clone()),
            [first, second, ..] => {
                self.set_variable(first, key)?;
                self.set_variable(second, item.clone())
            }
        }
    }

    fn set_variable(&mut self, name: &str, value: Value) -> Outcome<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| **known == *name) {
            Some((_, slot)) => {
                *slot = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn variable(&self, name: &str) -> Outcome<Value> {
        match self.variables.iter().rev().find(|(known, _)| **known == *name) {
            Some((_, value)) => Ok(value.clone()),
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn call_template(&mut self, call: &'a Call, dot: &Value) -> Outcome<()> {
        self.at = Some(call);
        let set: &'a Set = self.set;
        let Some((name, body)) = set.get_key_value(&call.name) else {
            return self.fail(format!("template {:?} not defined", call.name));
        };
        let data = match &call.pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), data.clone())]);
        let template = std::mem::replace(&mut self.template, (name, body));
        let result = self.list(&body.list, &data);
        if result.is_ok() {
            self.template = template;
            self.variables = outer;
        }
        result.map(|_| ())
    }

    fn pipe(&mut self, pipe: &'a Pipe, dot: &Value) -> Outcome<Value> {
        self.at = Some(pipe);
        let mut value = None;
        for command in &pipe.commands {
            self.step()?;
            value = Some(self.deeper(|exec| exec.command(command, dot, value))?);
        }
        let value = value.unwrap_or_default();
        for name in &pipe.variables {
            if pipe.assign {
                self.set_variable(name, value.clone())?;
            } else {
                self.variables.push((Arc::clone(name), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &'a Command, dot: &Value, last: Option<Value>) -> Outcome<Value> {
        let Some((first, args)) = command.args.split_first() else { return self.fail("empty command") };
        match first {
            Expr::Field(_, names) => {
                self.at = Some(first);
                return self.fields(dot, names, first, args, dot, last);
            }
            Expr::Variable(_, names) => {
                self.at = Some(first);
                let value = self.variable(&names[0])?;
                if names.len() > 1 {
                    return self.fields(&value, &names[1..], first, args, dot, last);
                }
                self.not_a_function(first, args, last.as_ref())?;
                return Ok(value);
            }
            Expr::Chain(_, inner, names) => {
                self.at = Some(first);
                if matches!(inner.as_ref(), Expr::Nil(_)) {
                    return self.fail(format!("indirection through explicit nil in {first}"));
                }
                let value = self.argument(inner, Kind::Any, dot)?;
                return self.fields(&value, names, first, args, dot, last);
            }
            Expr::Function(_, name) => {
                self.at = Some(first);
                return self.function(name, command, args, dot, last);
            }
            Expr::Pipe(pipe) => {
                self.not_a_function(first, args, last.as_ref())?;
                return self.pipe(pipe, dot);
            }
            _ => {}
        }
        self.at = Some(first);
        self.not_a_function(first, args, last.as_ref())?;
        match first {
            Expr::Dot(_) => Ok(dot.clone()),
            Expr::Nil(_) => self.fail("nil is not a command"),
            other => self.constant(other, Kind::Any),
        }
    }

    fn not_a_function(&self, first: &Expr, args: &[Expr], last: Option<&Value>) -> Outcome<()> {
        if args.is_empty() && last.is_none() {
            return Ok(());
        }
        self.fail(format!("can't give argument to non-function {first}"))
    }

    /// Follows `names` from `from`; the last one gets the arguments.
    fn fields(
        &mut self,
        from: &Value,
        names: &'a [Arc<str>],
        node: &'a Expr,
        args: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Outcome<Value> {
        let mut value = from.clone();
        let Some((final_name, before)) = names.split_last() else { return Ok(value) };
        for name in before {
            value = self.field(&value, name, node, Vec::new())?;
        }
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            values.push(self.argument(arg, Kind::Any, dot)?);
        }
        values.extend(last);
        self.field(&value, final_name, node, values)
    }

    fn field(&mut self, value: &Value, name: &str, node: &'a Expr, args: Vec<Value>) -> Outcome<Value> {
        self.at = Some(node);
        self.step()?;
        let by_method = match value {
            Value::Object(object) => object.method(name, &args),
            Value::Time(time) => time.method(name, &args),
            Value::Duration(nanos) => duration_method(*nanos, name, &args).map(Ok),
            _ => None,
        };
        match by_method {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) => return self.called(name, Err(error)),
            None => {}
        }
        let found = match value {
            Value::Nil => return Ok(Value::Nil),
            Value::Map(map) => Some(map.get(name)),
            Value::Object(object) => object.field(name).or_else(|| match object.contents() {
                Value::Map(map) => Some(map.get(name)),
                _ => None,
            }),
            _ => None,
        };
        match found {
            None => self.fail(format!("can't evaluate field {name} in type {}", value.type_name())),
            Some(_) if !args.is_empty() => {
                self.fail(format!("{name} has arguments but cannot be invoked as function"))
            }
            Some(value) => Ok(value),
        }
    }

    fn function(
        &mut self,
        name: &str,
        node: &'a dyn Located,
        args: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Outcome<Value> {
        let functions: &'a Functions = self.functions;
        let Some(function) = functions.get(name) else {
            return self.fail(format!("{name:?} is not a defined function"));
        };
        self.check_count(name, function, args.len() + usize::from(last.is_some()))?;
        if matches!(name, "and" | "or") {
            return self.short_circuit(name == "or", args, dot, last);
        }
        let mut values = Vec::with_capacity(args.len() + 1);
        for (at, arg) in args.iter().enumerate() {
            values.push(self.argument(arg, function.param(at), dot)?);
        }
        if let Some(last) = last {
            values.push(self.checked(last, function.param(values.len()))?);
        }
        self.at = Some(node);
        let result = function.call(&values);
        let given = values.iter().chain(result.as_ref().ok()).map(Value::weight).sum();
        self.work(given)?;
        self.called(name, result)
    }

    fn check_count(&self, name: &str, function: &Function, got: usize) -> Outcome<()> {
        let want = function.params.len();
        match function.rest {
            Some(_) if got < want => {
                self.fail(format!("wrong number of args for {name}: want at least {want} got {got}"))
            }
            None if got != want => {
                self.fail(format!("wrong number of args for {name}: want {want} got {got}"))
            }
            _ => Ok(()),
        }
    }

    fn short_circuit(
        &mut self,
        until: bool,
        args: &'a [Expr],
        dot: &Value,
        last: Option<Value>,
    ) -> Outcome<Value> {
        let mut value = Value::Nil;
        for arg in args {
            value = self.argument(arg, Kind::Any, dot)?;
            if value.is_true() == until {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn called(&self, name: &str, result: Result<Value, CallError>) -> Outcome<Value> {
        match result {
            Ok(Value::Text(text)) if text.len() > self.limits.output_bytes => {
                self.fail(format!("error calling {name}: a text of {} bytes", text.len()))
            }
            Ok(value) => Ok(value),
            Err(CallError::Failed(what)) => self.fail(format!("error calling {name}: {what}")),
            Err(CallError::NeedsQuery(query)) => Err(ExecError::NeedsQuery(query)),
        }
    }

    fn argument(&mut self, arg: &'a Expr, kind: Kind, dot: &Value) -> Outcome<Value> {
        self.at = Some(arg);
        self.step()?;
        let value = match arg {
            Expr::Dot(_) => dot.clone(),
            Expr::Nil(_) if kind == Kind::Any => return Ok(Value::Nil),
            Expr::Nil(_) => return self.fail(format!("cannot assign nil to {}", kind.type_name())),
            Expr::Field(_, names) => self.fields(dot, names, arg, &[], dot, None)?,
            Expr::Variable(_, names) => {
                let value = self.variable(&names[0])?;
                self.fields(&value, &names[1..], arg, &[], dot, None)?
            }
            Expr::Chain(_, inner, names) => {
                let value = self.deeper(|exec| exec.argument(inner, Kind::Any, dot))?;
                self.fields(&value, names, arg, &[], dot, None)?
            }
            Expr::Function(_, name) => self.function(name, arg, &[], dot, None)?,
            Expr::Pipe(pipe) => self.pipe(pipe, dot)?,
            constant => return self.constant(constant, kind),
        };
        self.checked(value, kind)
    }

    fn checked(&self, value: Value, kind: Kind) -> Outcome<Value> {
        if kind.takes(&value) {
            return Ok(value);
        }
        let expected = kind.type_name();
        match value {
            Value::Nil => self.fail(format!("invalid value; expected {expected}")),
            other => {
                self.fail(format!("wrong type for value; expected {expected}; got {}", other.type_name()))
            }
        }
    }

    fn constant(&self, expr: &Expr, kind: Kind) -> Outcome<Value> {
        match (expr, kind) {
            (Expr::Bool(_, value), Kind::Any) => Ok(Value::Bool(*value)),
            (Expr::Text(_, text, _), Kind::Any | Kind::Text) => Ok(Value::Text(Arc::clone(text))),
            (Expr::Number(_, number), _) => match (untyped(number), number, kind) {
                (value, _, Kind::Any) => Ok(value),
                (_, Number { int: Some(int), .. }, Kind::Int) => Ok(Value::Int(*int)),
                (_, Number { float: Some(float), .. }, Kind::Float) => Ok(Value::Float(*float)),
                _ => self.mismatch(expr, kind),
            },
            _ => self.mismatch(expr, kind),
        }
    }

    fn mismatch(&self, expr: &Expr, kind: Kind) -> Outcome<Value> {
        let expected = match kind {
            Kind::Int => "integer",
            Kind::Float => "float",
            other => other.type_name(),
        };
        self.fail(format!("expected {expected}; found {expr}"))
    }
}

/// A number where nothing says what it should be.
fn untyped(number: &Number) -> Value {
    match (number.is_float, number.int, number.float) {
        (false, Some(int), _) => Value::Int(int),
        (_, _, Some(float)) => Value::Float(float),
        _ => Value::Nil,
    }
}

fn index_value(at: usize) -> Value {
    Value::Int(i64::try_from(at).unwrap_or(i64::MAX))
}
