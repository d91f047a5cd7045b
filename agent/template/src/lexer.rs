//! Cuts a template's text into tokens.

use crate::ast::Pos;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something that cannot be read; the text says what.
    Error,
    End,
    Text,
    LeftDelim,
    RightDelim,
    LeftParen,
    RightParen,
    Space,
    Pipe,
    Comma,
    Assign,
    Declare,
    Bool,
    Number,
    Char,
    Quoted,
    Raw,
    Dot,
    Field,
    Variable,
    Identifier,
    Keyword,
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) pos: Pos,
    pub(crate) text: String,
}

const KEYWORDS: [&str; 11] =
    ["block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with"];

struct Lexer<'a> {
    input: &'a str,
    at: usize,
    tokens: Vec<Token>,
    parens: usize,
}

/// All tokens; the last is [`Kind::End`] or [`Kind::Error`].
pub(crate) fn tokens(input: &str) -> Vec<Token> {
    let mut lexer = Lexer { input, at: 0, tokens: Vec::new(), parens: 0 };
    if let Err((pos, what)) = lexer.run() {
        lexer.tokens.push(Token { kind: Kind::Error, pos, text: what });
    }
    lexer.tokens
}

type Outcome = Result<(), (Pos, String)>;

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.input[self.at..]
    }

    fn emit(&mut self, kind: Kind, len: usize) {
        self.tokens.push(Token { kind, pos: self.at, text: self.rest()[..len].to_owned() });
        self.at += len;
    }

    fn fail<T>(&self, pos: Pos, what: impl Into<String>) -> Result<T, (Pos, String)> {
        Err((pos, what.into()))
    }

    fn run(&mut self) -> Outcome {
        loop {
            let Some(text_len) = self.rest().find("{{") else {
                if !self.rest().is_empty() {
                    self.emit(Kind::Text, self.rest().len());
                }
                self.emit(Kind::End, 0);
                return Ok(());
            };
            let trims = trims_left(&self.rest()[text_len + 2..]);
            let text = &self.rest()[..text_len];
            let kept = if trims { text.trim_end_matches(is_space).len() } else { text_len };
            if kept > 0 {
                self.emit(Kind::Text, kept);
            }
            self.at += text_len - kept;
            self.open(trims)?;
        }
    }

    /// From `{{` to the matching `}}`, or over a comment.
    fn open(&mut self, trims: bool) -> Outcome {
        let start = self.at;
        let marker = if trims { 4 } else { 2 };
        if self.rest()[marker..].starts_with("/*") {
            return self.comment(start, marker);
        }
        self.emit(Kind::LeftDelim, 2);
        // The trim marker's space is no token.
        self.at += marker - 2;
        self.parens = 0;
        while !self.close()? {
            self.inside()?;
        }
        Ok(())
    }

    fn comment(&mut self, start: Pos, marker: usize) -> Outcome {
        let body = &self.rest()[marker..];
        let Some(end) = body.find("*/") else { return self.fail(start, "unclosed comment") };
        self.at += marker + end + 2;
        if let Some(len) = closing(self.rest()) {
            self.at += len.0;
            self.skip_after(len.1);
            return Ok(());
        }
        self.fail(start, "comment ends before closing delimiter")
    }

    /// Takes `}}` where it stands.
    fn close(&mut self) -> Result<bool, (Pos, String)> {
        let Some((len, trims)) = closing(self.rest()) else { return Ok(false) };
        if self.parens > 0 {
            return self.fail(self.at, "unclosed left paren");
        }
        self.at += len - 2;
        self.emit(Kind::RightDelim, 2);
        self.skip_after(trims);
        Ok(true)
    }

    fn skip_after(&mut self, trims: bool) {
        if trims {
            let rest = self.rest();
            self.at += rest.len() - rest.trim_start_matches(is_space).len();
        }
    }

    fn inside(&mut self) -> Outcome {
        let Some(first) = self.rest().chars().next() else { return self.fail(self.at, "unclosed action") };
        match first {
            char if is_space(char) => {
                let rest = self.rest();
                let mut len = rest.len() - rest.trim_start_matches(is_space).len();
                // The last space belongs to a trim marker.
                if rest[len..].starts_with("-}}") {
                    len -= 1;
                }
                self.emit(Kind::Space, len);
            }
            '=' => self.emit(Kind::Assign, 1),
            ':' if self.rest().starts_with(":=") => self.emit(Kind::Declare, 2),
            ':' => return self.fail(self.at, "expected :="),
            '|' => self.emit(Kind::Pipe, 1),
            ',' => self.emit(Kind::Comma, 1),
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::Char, "unterminated character constant")?,
            '`' => self.raw()?,
            '$' => self.word(Kind::Variable)?,
            '.' if !self.rest()[1..].starts_with(|next: char| next.is_ascii_digit()) => self.dot()?,
            '.' | '+' | '-' | '0'..='9' => self.number()?,
            '(' => {
                self.emit(Kind::LeftParen, 1);
                self.parens += 1;
            }
            ')' if self.parens == 0 => return self.fail(self.at, "unexpected right paren"),
            ')' => {
                self.emit(Kind::RightParen, 1);
                self.parens -= 1;
            }
            char if is_word(char) => self.identifier()?,
            other => {
                return self
                    .fail(self.at, format!("unrecognized character in action: {}", code_point(other)));
            }
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Outcome {
        let mut escaped = false;
        for (at, char) in self.rest().char_indices().skip(1) {
            match char {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                char if char == quote => {
                    self.emit(kind, at + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.fail(self.at, unterminated)
    }

    fn raw(&mut self) -> Outcome {
        match self.rest()[1..].find('`') {
            Some(end) => self.emit(Kind::Raw, end + 2),
            None => return self.fail(self.at, "unterminated raw quoted string"),
        }
        Ok(())
    }

    fn dot(&mut self) -> Outcome {
        let name = word_len(&self.rest()[1..]);
        if name == 0 {
            if let Some(next) = self.rest()[1..].chars().next()
                && !ends_word(&self.rest()[1..])
            {
                return self.fail(self.at, format!("bad character {}", code_point(next)));
            }
            self.emit(Kind::Dot, 1);
            return Ok(());
        }
        self.word_of(Kind::Field, name + 1)
    }

    fn word(&mut self, kind: Kind) -> Outcome {
        self.word_of(kind, word_len(&self.rest()[1..]) + 1)
    }

    fn word_of(&mut self, kind: Kind, len: usize) -> Outcome {
        let after = &self.rest()[len..];
        if !ends_word(after) {
            let next = after.chars().next().unwrap_or(' ');
            return self.fail(self.at, format!("bad character {}", code_point(next)));
        }
        self.emit(kind, len);
        Ok(())
    }

    fn identifier(&mut self) -> Outcome {
        let len = word_len(self.rest());
        let kind = match &self.rest()[..len] {
            "true" | "false" => Kind::Bool,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        };
        self.word_of(kind, len)
    }

    fn number(&mut self) -> Outcome {
        let rest = self.rest();
        let len = number_len(rest);
        if rest[len..].starts_with(is_word) || len == 0 {
            let more = rest[len..].chars().next().map_or(0, char::len_utf8);
            let bad = &rest[..len + more];
            return self.fail(self.at, format!("bad number syntax: {bad:?}"));
        }
        self.emit(Kind::Number, len);
        Ok(())
    }
}

/// Length of a number's text: sign, prefix, digits, point, exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let take = |at: &mut usize, digits: &dyn Fn(u8) -> bool| {
        while bytes.get(*at).is_some_and(|byte| digits(*byte) || *byte == b'_') {
            *at += 1;
        }
    };
    let hex = bytes.get(at) == Some(&b'0') && matches!(bytes.get(at + 1), Some(b'x' | b'X'));
    let other = bytes.get(at) == Some(&b'0') && matches!(bytes.get(at + 1), Some(b'o' | b'O' | b'b' | b'B'));
    if hex || other {
        at += 2;
    }
    let digits = move |byte: u8| if hex { byte.is_ascii_hexdigit() } else { byte.is_ascii_digit() };
    take(&mut at, &digits);
    if bytes.get(at) == Some(&b'.') {
        at += 1;
        take(&mut at, &digits);
    }
    let exponent: &[u8] = if hex { b"pP" } else { b"eE" };
    if !other && bytes.get(at).is_some_and(|byte| exponent.contains(byte)) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        take(&mut at, &|byte: u8| byte.is_ascii_digit());
    }
    at
}

/// Length of `}}` or ` -}}` at the start, and whether it trims.
fn closing(text: &str) -> Option<(usize, bool)> {
    if text.starts_with("}}") {
        return Some((2, false));
    }
    let trims = text.starts_with(is_space) && text[1..].starts_with("-}}");
    trims.then_some((4, true))
}

fn trims_left(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(is_space)
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

fn is_word(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}

fn word_len(text: &str) -> usize {
    text.find(|char| !is_word(char)).unwrap_or(text.len())
}

/// Whether a word may end before `text`.
fn ends_word(text: &str) -> bool {
    text.chars().next().is_none_or(|char| is_space(char) || matches!(char, '.' | ',' | '|' | ':' | ')' | '('))
        || text.starts_with("}}")
}

/// A character as Go's `%#U` writes it.
fn code_point(char: char) -> String {
    let code = format!("U+{:04X}", u32::from(char));
    if char.is_control() { code } else { format!("{code} '{char}'") }
}
