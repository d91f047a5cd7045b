//! Tokens to tree. Error texts are those of Go's `text/template`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Action, Branch, BranchKind, Call, Command, Expr, List, Node, Pipe};
use crate::lexer::{Kind, Token, tokens};
use crate::literal::{number, unquote};

/// Nested actions, parentheses and `else if`s that one template may have.
const DEPTH_MAX: usize = 100;

/// What one text defines: its own body, and the templates inside it.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) body: List,
    pub(crate) defined: BTreeMap<Arc<str>, List>,
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    variables: Vec<Arc<str>>,
    range_depth: usize,
    depth: usize,
    defined: BTreeMap<Arc<str>, List>,
    has_function: &'a dyn Fn(&str) -> bool,
}

/// A line and what is wrong there.
pub(crate) type Wrong = (usize, String);
type Parse<T> = Result<T, Wrong>;

/// How a list of nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    End,
    Else,
}

/// A node, or the word that ends the list that it stands in.
enum Item {
    Node(Node),
    Ended(Ended),
    Nothing,
}

/// Parses a text; `has_function` tells which functions there are.
pub(crate) fn parse(text: &str, has_function: &dyn Fn(&str) -> bool) -> Parse<Parsed> {
    let mut parser = Parser {
        text,
        tokens: tokens(text),
        at: 0,
        variables: vec!["$".into()],
        range_depth: 0,
        depth: 0,
        defined: BTreeMap::new(),
        has_function,
    };
    let body = parser.top()?;
    Ok(Parsed { body, defined: parser.defined })
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The last token is an end or an error, and nothing reads past it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_solid(&mut self) -> &Token {
        self.skip_space();
        self.peek()
    }

    fn next_solid(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn is_keyword(&mut self, word: &str) -> bool {
        let token = self.peek_solid();
        token.kind == Kind::Keyword && token.text == word
    }

    fn line(&self) -> usize {
        let at = self.at.saturating_sub(1).min(self.tokens.len() - 1);
        let end = self.tokens[at].pos.min(self.text.len());
        self.text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn fail<T>(&self, what: impl Into<String>) -> Parse<T> {
        Err((self.line(), what.into()))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parse<T> {
        match token.kind {
            Kind::Error => self.fail(token.text.clone()),
            _ => self.fail(format!("unexpected {} in {context}", shown(token))),
        }
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(format!("actions are nested more than {DEPTH_MAX} deep"));
        }
        let result = work(self);
        self.depth -= 1;
        result
    }

    fn top(&mut self) -> Parse<List> {
        let mut nodes = Vec::new();
        while self.peek().kind != Kind::End {
            let start = self.at;
            if self.peek().kind == Kind::LeftDelim {
                self.next();
                if self.is_keyword("define") {
                    self.next();
                    self.definition()?;
                    continue;
                }
                self.at = start;
            }
            match self.item()? {
                Item::Node(node) => nodes.push(node),
                Item::Ended(Ended::End) => return self.fail("unexpected {{end}}"),
                Item::Ended(Ended::Else) => return self.fail("unexpected {{else}}"),
                Item::Nothing => {}
            }
        }
        Ok(List(nodes))
    }

    fn definition(&mut self) -> Parse<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_solid();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect_close(CONTEXT)?;
        let body = self.own_variables(|parser| parser.list_to_end(CONTEXT))?;
        self.define(name, body)
    }

    /// A template's body sees no variable of the text around it.
    fn own_variables<T>(&mut self, work: impl FnOnce(&mut Self) -> Parse<T>) -> Parse<T> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let result = work(self);
        self.variables = outer;
        self.range_depth = range_depth;
        result
    }

    fn define(&mut self, name: Arc<str>, body: List) -> Parse<()> {
        match self.defined.get(&name) {
            Some(old) if !old.is_blank() && !body.is_blank() => {
                self.fail(format!("multiple definition of template {name:?}"))
            }
            Some(old) if !old.is_blank() => Ok(()),
            _ => {
                self.defined.insert(name, body);
                Ok(())
            }
        }
    }

    fn list(&mut self) -> Parse<(List, Ended)> {
        self.deeper(|parser| {
            let mut nodes = Vec::new();
            while parser.peek_solid().kind != Kind::End {
                match parser.item()? {
                    Item::Node(node) => nodes.push(node),
                    Item::Ended(how) => return Ok((List(nodes), how)),
                    Item::Nothing => {}
                }
            }
            parser.next();
            parser.fail("unexpected EOF")
        })
    }

    fn list_to_end(&mut self, context: &str) -> Parse<List> {
        match self.list()? {
            (list, Ended::End) => Ok(list),
            (_, Ended::Else) => self.fail(format!("unexpected {{{{else}}}} in {context}")),
        }
    }

    fn item(&mut self) -> Parse<Item> {
        let token = self.next_solid();
        match token.kind {
            Kind::Text if token.text.is_empty() => Ok(Item::Nothing),
            Kind::Text => Ok(Item::Node(Node::Text(token.text.into()))),
            Kind::LeftDelim => self.action(),
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Parse<Item> {
        let token = self.next_solid();
        if token.kind == Kind::Keyword {
            let branch = |kind| (kind, token.pos);
            let (kind, pos) = match token.text.as_str() {
                "if" => branch(BranchKind::If),
                "with" => branch(BranchKind::With),
                "range" => branch(BranchKind::Range),
                "end" => return self.ending(Ended::End),
                "else" => return self.ending(Ended::Else),
                "template" => return self.call().map(Item::Node),
                "block" => return self.block().map(Item::Node),
                "break" => return self.jump("break", Node::Break),
                "continue" => return self.jump("continue", Node::Continue),
                _ => {
                    self.at -= 1;
                    return self.plain_action();
                }
            };
            return Ok(Item::Node(Node::Branch(self.branch(kind, pos)?)));
        }
        self.at -= 1;
        self.plain_action()
    }

    fn plain_action(&mut self) -> Parse<Item> {
        let pos = self.peek().pos;
        let pipe = self.pipe("command", Kind::RightDelim)?;
        Ok(Item::Node(Node::Action(Action { pos, pipe })))
    }

    fn ending(&mut self, how: Ended) -> Parse<Item> {
        // `{{else if}}` and `{{else with}}` stay open: the branch reads on.
        if how == Ended::Else && (self.is_keyword("if") || self.is_keyword("with")) {
            return Ok(Item::Ended(how));
        }
        self.expect_close(if how == Ended::End { "end" } else { "else" })?;
        Ok(Item::Ended(how))
    }

    fn jump(&mut self, word: &str, node: Node) -> Parse<Item> {
        let token = self.next_solid();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.range_depth == 0 {
            return self.fail(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(Item::Node(node))
    }

    fn branch(&mut self, kind: BranchKind, pos: usize) -> Parse<Branch> {
        let context = match kind {
            BranchKind::If => "if",
            BranchKind::With => "with",
            BranchKind::Range => "range",
        };
        let outer = self.variables.len();
        let pipe = self.pipe(context, Kind::RightDelim)?;
        let in_range = usize::from(kind == BranchKind::Range);
        self.range_depth += in_range;
        let (body, ended) = self.list()?;
        self.range_depth -= in_range;
        let otherwise = match ended {
            Ended::End => None,
            Ended::Else => Some(self.otherwise(kind, context)?),
        };
        self.variables.truncate(outer);
        Ok(Branch { kind, pos, pipe, body, otherwise })
    }

    fn otherwise(&mut self, kind: BranchKind, context: &str) -> Parse<List> {
        let chained = kind != BranchKind::Range && self.is_keyword(context);
        if chained {
            let pos = self.next().pos;
            let inner = self.deeper(|parser| parser.branch(kind, pos))?;
            return Ok(List(vec![Node::Branch(inner)]));
        }
        let token = self.peek_solid().clone();
        if token.kind == Kind::Keyword {
            self.next();
            return self.unexpected(&token, "input");
        }
        match self.list()? {
            (list, Ended::End) => Ok(list),
            (_, Ended::Else) => self.fail("expected end; found {{else}}"),
        }
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Parse<Arc<str>> {
        match token.kind {
            Kind::Quoted | Kind::Raw => match unquote(&token.text) {
                Some(name) => Ok(name.into()),
                None => self.fail("invalid syntax"),
            },
            _ => self.unexpected(token, context),
        }
    }

    fn call(&mut self) -> Parse<Node> {
        const CONTEXT: &str = "template clause";
        let token = self.next_solid();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = if self.peek_solid().kind == Kind::RightDelim {
            self.next();
            None
        } else {
            Some(self.pipe(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template(Call { pos: token.pos, name, pipe }))
    }

    fn block(&mut self) -> Parse<Node> {
        const CONTEXT: &str = "block clause";
        let token = self.next_solid();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipe(CONTEXT, Kind::RightDelim)?;
        let body = self.own_variables(|parser| parser.list_to_end(CONTEXT))?;
        self.define(Arc::clone(&name), body)?;
        Ok(Node::Template(Call { pos: token.pos, name, pipe: Some(pipe) }))
    }

    fn expect_close(&mut self, context: &str) -> Parse<()> {
        let token = self.next_solid();
        match token.kind {
            Kind::RightDelim => Ok(()),
            _ => self.unexpected(&token, context),
        }
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Parse<Pipe> {
        self.deeper(|parser| parser.pipe_inside(context, end))
    }

    fn pipe_inside(&mut self, context: &str, end: Kind) -> Parse<Pipe> {
        let pos = self.peek_solid().pos;
        let (variables, assign) = self.declarations(context)?;
        let mut commands = Vec::new();
        loop {
            let token = self.next_solid();
            match token.kind {
                kind if kind == end => break,
                Kind::Keyword if token.text != "nil" => return self.unexpected(&token, context),
                Kind::Bool
                | Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Keyword
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at -= 1;
                    commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        self.check_pipe(&commands, context)?;
        Ok(Pipe { pos, variables, assign, commands })
    }

    /// Only the first command of a pipe may be a mere value.
    fn check_pipe(&self, commands: &[Command], context: &str) -> Parse<()> {
        if commands.is_empty() {
            return self.fail(format!("missing value for {context}"));
        }
        let is_value = |command: &Command| {
            matches!(
                command.args.first(),
                Some(Expr::Bool(..) | Expr::Dot(_) | Expr::Nil(_) | Expr::Number(..) | Expr::Text(..))
            )
        };
        match commands.iter().skip(1).position(is_value) {
            Some(at) => self.fail(format!("non executable command in pipeline stage {}", at + 2)),
            None => Ok(()),
        }
    }

    fn declarations(&mut self, context: &str) -> Parse<(Vec<Arc<str>>, bool)> {
        let mut variables: Vec<Arc<str>> = Vec::new();
        loop {
            let start = self.at;
            let token = self.peek_solid().clone();
            if token.kind != Kind::Variable {
                return Ok((variables, false));
            }
            self.next();
            let name: Arc<str> = token.text.into();
            match self.peek_solid().kind {
                kind @ (Kind::Assign | Kind::Declare) => {
                    self.next();
                    self.variables.push(Arc::clone(&name));
                    variables.push(name);
                    return Ok((variables, kind == Kind::Assign));
                }
                Kind::Comma => {
                    self.next();
                    self.variables.push(Arc::clone(&name));
                    variables.push(name);
                    if context != "range" || variables.len() > 1 {
                        return self.fail(format!("too many declarations in {context}"));
                    }
                    if !matches!(self.peek_solid().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen)
                    {
                        return self.fail("range can only initialize variables");
                    }
                }
                _ => {
                    self.at = start;
                    return Ok((variables, false));
                }
            }
        }
    }

    fn command(&mut self) -> Parse<Command> {
        let pos = self.peek_solid().pos;
        let mut args = Vec::new();
        loop {
            self.skip_space();
            args.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.at -= 1,
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if args.is_empty() {
            return self.fail("empty command");
        }
        Ok(Command { pos, args })
    }

    fn operand(&mut self) -> Parse<Option<Expr>> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(term));
        }
        let pos = self.peek().pos;
        let mut fields: Vec<Arc<str>> = Vec::new();
        while self.peek().kind == Kind::Field {
            fields.push(self.next().text[1..].into());
        }
        Ok(Some(match term {
            Expr::Field(_, mut names) => {
                names.extend(fields);
                Expr::Field(pos, names)
            }
            Expr::Variable(_, mut names) => {
                names.extend(fields);
                Expr::Variable(pos, names)
            }
            Expr::Bool(..) | Expr::Text(..) | Expr::Number(..) | Expr::Nil(_) | Expr::Dot(_) => {
                return self.fail(format!("unexpected . after term {:?}", term.to_string()));
            }
            other => Expr::Chain(pos, Box::new(other), fields),
        }))
    }

    fn term(&mut self) -> Parse<Option<Expr>> {
        let token = self.next_solid();
        let pos = token.pos;
        Ok(Some(match token.kind {
            Kind::Identifier => {
                if !(self.has_function)(&token.text) {
                    return self.fail(format!("function {:?} not defined", token.text));
                }
                Expr::Function(pos, token.text.into())
            }
            Kind::Dot => Expr::Dot(pos),
            Kind::Keyword if token.text == "nil" => Expr::Nil(pos),
            Kind::Variable => {
                if !self.variables.iter().any(|name| **name == *token.text) {
                    return self.fail(format!("undefined variable {:?}", token.text));
                }
                Expr::Variable(pos, vec![token.text.into()])
            }
            Kind::Field => Expr::Field(pos, vec![token.text[1..].into()]),
            Kind::Bool => Expr::Bool(pos, token.text == "true"),
            Kind::Number | Kind::Char => match number(&token.text) {
                Ok(number) => Expr::Number(pos, number),
                Err(what) => return self.fail(what),
            },
            Kind::LeftParen => Expr::Pipe(self.pipe("parenthesized pipeline", Kind::RightParen)?),
            Kind::Quoted | Kind::Raw => match unquote(&token.text) {
                Some(text) => Expr::Text(pos, text.into(), token.text.into()),
                None => return self.fail("invalid syntax"),
            },
            _ => {
                self.at -= 1;
                return Ok(None);
            }
        }))
    }
}

/// A token as error texts show it.
fn shown(token: &Token) -> String {
    match token.kind {
        Kind::End => "EOF".to_owned(),
        Kind::Keyword => format!("<{}>", token.text),
        _ if token.text.chars().count() > 10 => {
            format!("{:?}...", token.text.chars().take(10).collect::<String>())
        }
        _ => format!("{:?}", token.text),
    }
}
