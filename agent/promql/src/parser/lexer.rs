//! From text to tokens. What a character means depends on whether braces or brackets are open.

use super::token::{Kind, Token};
use crate::operator::BinaryOp;

/// Cuts a query into tokens. The last one is [`Kind::Eof`] or [`Kind::Error`].
pub(crate) fn tokenize(text: &str) -> Vec<Token> {
    let mut lexer =
        Lexer { text, at: 0, start: 0, tokens: Vec::new(), parens: 0, braces: false, brackets: false };
    let last = loop {
        match lexer.step() {
            Ok(true) => {}
            Ok(false) => break Kind::Eof,
            Err(message) => break Kind::Error(message),
        }
    };
    let start = if last == Kind::Eof { text.len() } else { lexer.start };
    lexer.tokens.push(Token { kind: last, start, end: text.len() });
    lexer.tokens
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    start: usize,
    tokens: Vec<Token>,
    parens: usize,
    braces: bool,
    brackets: bool,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> usize {
        let from = self.at;
        while self.peek().is_some_and(&accept) {
            self.next();
        }
        self.at - from
    }

    fn emit(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, start: self.start, end: self.at });
    }

    fn word(&self) -> &str {
        &self.text[self.start..self.at]
    }

    /// Reads one token, space or comment; false at the end.
    fn step(&mut self) -> Result<bool, String> {
        self.start = self.at;
        let Some(c) = self.next() else {
            return self.end().map(|()| false);
        };
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            '#' => {
                self.take_while(|c| c != '\n' && c != '\r');
            }
            '"' | '\'' => self.string(c)?,
            '`' => self.raw_string()?,
            ',' => self.emit(Kind::Comma),
            _ if self.braces => self.inside_braces(c)?,
            _ => self.statement(c)?,
        }
        Ok(true)
    }

    fn end(&self) -> Result<(), String> {
        if self.braces {
            Err("unexpected end of input inside braces".to_owned())
        } else if self.parens > 0 {
            Err("unclosed left parenthesis".to_owned())
        } else if self.brackets {
            Err("unexpected end of input in duration expression".to_owned())
        } else {
            Ok(())
        }
    }

    fn inside_braces(&mut self, c: char) -> Result<(), String> {
        match c {
            '}' => {
                self.braces = false;
                self.emit(Kind::RightBrace);
            }
            '=' if self.take('~') => self.emit(Kind::EqualRegex),
            '=' => self.emit(Kind::Assign),
            '!' => match self.next() {
                Some('~') => self.emit(Kind::NotEqualRegex),
                Some('=') => self.emit(Kind::Operator(BinaryOp::NotEqual)),
                other => {
                    return Err(format!("unexpected character after '!' inside braces: {}", shown(other)));
                }
            },
            '{' => return Err(format!("unexpected left brace {}", shown(Some(c)))),
            c if is_alpha(c) => {
                self.take_while(is_alphanumeric);
                self.emit(Kind::Identifier);
            }
            _ => return Err(format!("unexpected character inside braces: {}", shown(Some(c)))),
        }
        Ok(())
    }

    fn statement(&mut self, c: char) -> Result<(), String> {
        match c {
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                let open = self.parens.checked_sub(1);
                self.parens =
                    open.ok_or_else(|| format!("unexpected right parenthesis {}", shown(Some(c))))?;
                self.emit(Kind::RightParen);
            }
            '{' => {
                self.braces = true;
                self.emit(Kind::LeftBrace);
            }
            '[' if self.brackets => return Err(format!("unexpected left bracket {}", shown(Some(c)))),
            '[' => {
                self.brackets = true;
                self.emit(Kind::LeftBracket);
            }
            ']' if !self.brackets => return Err(format!("unexpected right bracket {}", shown(Some(c)))),
            ']' => {
                self.brackets = false;
                self.emit(Kind::RightBracket);
            }
            '@' => self.emit(Kind::At),
            ':' if self.brackets => self.emit(Kind::Colon),
            c if c.is_ascii_digit() || c == '.' && self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.at = self.start;
                self.number_or_duration()?;
            }
            c if is_alpha(c) || c == ':' => {
                self.take_while(|c| is_alphanumeric(c) || c == ':');
                self.keyword_or_name();
            }
            c => self.operator(c)?,
        }
        Ok(())
    }

    fn keyword_or_name(&mut self) {
        let mut kind = Kind::of_word(self.word());
        // The fill modifiers came late: they are words only before a parenthesis.
        let fill = matches!(
            kind,
            Kind::Keyword(
                super::token::Keyword::Fill
                    | super::token::Keyword::FillLeft
                    | super::token::Keyword::FillRight
            )
        );
        if fill && !self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']).starts_with('(') {
            kind = Kind::Identifier;
        }
        self.emit(kind);
    }

    fn operator(&mut self, c: char) -> Result<(), String> {
        let op = match c {
            '+' => BinaryOp::Add,
            '-' => BinaryOp::Sub,
            '*' => BinaryOp::Mul,
            '/' => BinaryOp::Div,
            '%' => BinaryOp::Mod,
            '^' => BinaryOp::Pow,
            '=' if self.take('=') => BinaryOp::Equal,
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".to_owned());
            }
            '=' => {
                self.emit(Kind::Assign);
                return Ok(());
            }
            '!' => match self.next() {
                Some('=') => BinaryOp::NotEqual,
                other => return Err(format!("unexpected character after '!': {}", shown(other))),
            },
            '<' if self.take('/') => BinaryOp::TrimUpper,
            '>' if self.take('/') => BinaryOp::TrimLower,
            '<' if self.take('=') => BinaryOp::LessEqual,
            '<' => BinaryOp::Less,
            '>' if self.take('=') => BinaryOp::GreaterEqual,
            '>' => BinaryOp::Greater,
            c => return Err(format!("unexpected character: {}", shown(Some(c)))),
        };
        self.emit(Kind::Operator(op));
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), String> {
        loop {
            match self.next() {
                Some('\\') => {
                    self.next();
                }
                Some(c) if c == quote => break,
                None | Some('\n') => return Err("unterminated quoted string".to_owned()),
                Some(_) => {}
            }
        }
        self.emit(Kind::String);
        Ok(())
    }

    fn raw_string(&mut self) -> Result<(), String> {
        self.take_while(|c| c != '`');
        if self.next().is_none() {
            return Err("unterminated raw string".to_owned());
        }
        self.emit(Kind::String);
        Ok(())
    }

    fn number_or_duration(&mut self) -> Result<(), String> {
        if self.number() {
            self.emit(Kind::Number);
            return Ok(());
        }
        self.at = self.start;
        self.take_while(|c| c.is_ascii_digit());
        if self.at > self.start && self.duration_rest() {
            self.emit(Kind::Duration);
            return Ok(());
        }
        self.take_while(is_alphanumeric);
        Err(format!("bad number or duration syntax: {}", crate::quote::quote(self.word())))
    }

    /// Reads a number; false where what follows makes it none.
    fn number(&mut self) -> bool {
        if self.text[self.at..].starts_with("0x") || self.text[self.at..].starts_with("0X") {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_hexdigit() || c == '_');
            return digits > 0
                && !self.word().ends_with('_')
                && !self.follows_word()
                && self.peek() != Some('.');
        }
        let whole = self.take_while(|c| c.is_ascii_digit() || c == '_');
        let mut fraction = 0;
        if self.take('.') {
            fraction = self.take_while(|c| c.is_ascii_digit() || c == '_');
        }
        if whole + fraction == 0 {
            return false;
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.next();
            if matches!(self.peek(), Some('+' | '-')) {
                self.next();
            }
            if self.take_while(|c| c.is_ascii_digit() || c == '_') == 0 {
                return false;
            }
        }
        // An underscore stands between two digits.
        let bytes = self.word().as_bytes();
        let placed = |at: usize| {
            at > 0 && bytes[at - 1].is_ascii_digit() && bytes.get(at + 1).is_some_and(u8::is_ascii_digit)
        };
        let underscores = (0..bytes.len()).all(|at| bytes[at] != b'_' || placed(at));
        underscores && !self.follows_word() && self.peek() != Some('.')
    }

    fn follows_word(&self) -> bool {
        self.peek().is_some_and(is_alphanumeric)
    }

    /// Reads units and further numbers after the first number; their order is checked later.
    fn duration_rest(&mut self) -> bool {
        loop {
            if !matches!(self.peek(), Some('s' | 'm' | 'h' | 'd' | 'w' | 'y')) {
                return false;
            }
            self.next();
            self.take('s');
            if self.take_while(|c| c.is_ascii_digit()) == 0 {
                return !self.follows_word();
            }
        }
    }
}

fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

fn is_alphanumeric(c: char) -> bool {
    is_alpha(c) || c.is_ascii_digit()
}

/// A character as Go's `%q` shows it.
fn shown(c: Option<char>) -> String {
    match c {
        None => "'\\x00'".to_owned(),
        Some('\'') => "'\\''".to_owned(),
        Some('"') => "'\"'".to_owned(),
        Some(c) => {
            let quoted = crate::quote::quote(&c.to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        tokenize(text).into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn words_depend_on_where_they_stand() {
        use crate::operator::AggregateOp;
        assert_eq!(
            kinds("SUM{sum='a'}"),
            [
                Kind::Aggregator(AggregateOp::Sum),
                Kind::LeftBrace,
                Kind::Identifier,
                Kind::Assign,
                Kind::String,
                Kind::RightBrace,
                Kind::Eof
            ]
        );
        assert_eq!(kinds("a:b[1m:5]")[1..5], [Kind::LeftBracket, Kind::Duration, Kind::Colon, Kind::Number]);
        assert_eq!(kinds("fill")[0], Kind::Identifier);
    }

    #[test]
    fn numbers_and_durations() {
        for text in ["1", ".5", "5.", "1e3", "1E-3", "0x2A", "1_000", "Inf", "nan"] {
            assert_eq!(kinds(text), [Kind::Number, Kind::Eof], "{text}");
        }
        for text in ["5m", "1h30m", "1d2h3m4s5ms", "1ms"] {
            assert_eq!(kinds(text), [Kind::Duration, Kind::Eof], "{text}");
        }
        for text in ["1x", "1__0", "1_", "1e", "1.2.3", "5m3", "0x", "1.5m"] {
            assert!(matches!(kinds(text)[0], Kind::Error(_)), "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for (text, message) in [
            ("(", "unclosed left parenthesis"),
            (")", "unexpected right parenthesis ')'"),
            ("{", "unexpected end of input inside braces"),
            ("\"a", "unterminated quoted string"),
            ("`a", "unterminated raw string"),
            ("a ! b", "unexpected character after '!': ' '"),
            ("é", "unexpected character: 'é'"),
        ] {
            assert_eq!(kinds(text).pop(), Some(Kind::Error(message.to_owned())), "{text}");
        }
    }
}
