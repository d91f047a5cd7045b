//! RE2's syntax, as Go reads it, in terms of the `regex` crate: Prometheus's users write the former.
//!
//! Classes are ASCII (`\d`, `\w`, `\s`, `\b`), what only Rust knows is refused (`[a&&b]`, `(?x)`, `\<`) or
//! literal (`a{,3}`, `x{`), and what only Go knows is translated (`\Q…\E`, `\101`, `[:word:]` in any class).
//! Errors are Go's. One difference stays: `\B` knows letters beyond ASCII.

mod class;

use std::fmt::Write as _;

/// Most repetitions that `{n}` may ask for.
const REPEAT_MAX: u32 = 1000;

/// The text in the `regex` crate's syntax.
///
/// # Errors
/// What is wrong with it, in Go's words.
pub(crate) fn translate(source: &str) -> Result<String, String> {
    let mut translator =
        Translator { source, at: 0, out: String::new(), groups: Vec::new(), operand: Operand::None };
    translator.whole()?;
    Ok(translator.out)
}

/// What stands before a repetition.
#[derive(Clone, Copy)]
enum Operand {
    /// Nothing that could be repeated.
    None,
    /// Something.
    Some,
    /// Another repetition, which begins here.
    Repeated(usize),
}

struct Translator<'a> {
    source: &'a str,
    at: usize,
    out: String,
    /// Where each open group begins.
    groups: Vec<usize>,
    operand: Operand,
}

fn wrong<T>(what: &str, part: &str) -> Result<T, String> {
    Err(format!("{what}: `{part}`"))
}

/// Writes a character that means itself.
fn literal(out: &mut String, c: char) {
    if c.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(c);
}

impl<'a> Translator<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn whole(&mut self) -> Result<(), String> {
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                '(' => self.open()?,
                ')' => {
                    if self.groups.pop().is_none() {
                        return wrong("unexpected )", self.source);
                    }
                    self.plain(')', Operand::Some);
                }
                '|' => self.plain('|', Operand::None),
                '^' | '$' | '.' => self.plain(c, Operand::Some),
                '[' => self.class()?,
                '\\' => self.escape()?,
                '*' | '+' | '?' => {
                    self.next();
                    self.repeat(start, c.to_string())?;
                }
                '{' => match self.counts() {
                    Some(text) => {
                        self.check_counts(&text)?;
                        self.repeat(start, text)?;
                    }
                    None => self.character('{'),
                },
                c => self.character(c),
            }
        }
        if self.groups.is_empty() { Ok(()) } else { wrong("missing closing )", self.source) }
    }

    fn plain(&mut self, c: char, operand: Operand) {
        self.next();
        self.out.push(c);
        self.operand = operand;
    }

    fn character(&mut self, c: char) {
        self.next();
        literal(&mut self.out, c);
        self.operand = Operand::Some;
    }

    /// The text of `{n}`, `{n,}` or `{n,m}`, if one comes next.
    fn counts(&mut self) -> Option<String> {
        let rest = self.rest();
        let end = rest.find('}')?;
        let inside = &rest[1..end];
        let (low, high) = inside.split_once(',').unwrap_or((inside, "0"));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number with a leading zero is none, as in Go.
        let plain = |text: &str| number(text) && (text == "0" || !text.starts_with('0'));
        if !plain(low) || !(high.is_empty() || plain(high)) {
            return None;
        }
        self.at += end + 1;
        Some(rest[..=end].to_owned())
    }

    fn check_counts(&self, text: &str) -> Result<(), String> {
        let inside = text.trim_matches(['{', '}']);
        let (low, high) = inside.split_once(',').unwrap_or((inside, inside));
        let number = |text: &str| text.parse::<u32>().unwrap_or(u32::MAX);
        let (low, high) = (number(low), if high.is_empty() { None } else { Some(number(high)) });
        if low > REPEAT_MAX || high.is_some_and(|high| high > REPEAT_MAX || high < low) {
            return wrong("invalid repeat count", text);
        }
        Ok(())
    }

    /// A repetition that began at `start` and has been read.
    fn repeat(&mut self, start: usize, text: String) -> Result<(), String> {
        let lazy = self.take("?");
        match self.operand {
            Operand::None => return wrong("missing argument to repetition operator", &text),
            Operand::Repeated(first) => {
                return wrong("invalid nested repetition operator", &self.source[first..self.at]);
            }
            Operand::Some => {}
        }
        self.out.push_str(&text);
        if lazy {
            self.out.push('?');
        }
        self.operand = Operand::Repeated(start);
        Ok(())
    }

    fn open(&mut self) -> Result<(), String> {
        let start = self.at;
        self.operand = Operand::None;
        if !self.take("(?") {
            self.groups.push(start);
            self.next();
            self.out.push('(');
            return Ok(());
        }
        if self.take("P<") || self.take("<") && !self.rest().starts_with(['=', '!']) {
            let rest = self.rest();
            let Some(end) = rest.find('>') else {
                return wrong("invalid named capture", &self.source[start..]);
            };
            let name = &rest[..end];
            self.at += end + 1;
            let word = |c: char| c == '_' || c.is_ascii_alphanumeric();
            let opened = format!("(?P<{name}>");
            if name.is_empty() || !name.chars().all(word) || self.out.contains(&opened) {
                return wrong("invalid named capture", &self.source[start..self.at]);
            }
            self.groups.push(start);
            self.out.push_str(&opened);
            return Ok(());
        }
        self.flags(start)
    }

    /// `(?i)`, `(?i-s:`; the first two characters have been read.
    fn flags(&mut self, start: usize) -> Result<(), String> {
        let (mut flags, mut minus, mut seen) = (String::new(), false, false);
        loop {
            let c = self.next();
            match c {
                Some('i' | 'm' | 's' | 'U') => {
                    flags.extend(c);
                    seen = true;
                }
                Some('-') if !minus => {
                    flags.push('-');
                    (minus, seen) = (true, false);
                }
                Some(end @ (':' | ')')) if !minus || seen => {
                    if end == ':' {
                        self.groups.push(start);
                        let _ = write!(self.out, "(?{flags}:");
                    } else if !flags.is_empty() {
                        let _ = write!(self.out, "(?{flags})");
                    }
                    return Ok(());
                }
                None => return wrong("missing closing )", self.source),
                _ => return wrong("invalid or unsupported Perl syntax", &self.source[start..self.at]),
            }
        }
    }
}

#[cfg(test)]
mod tests;
