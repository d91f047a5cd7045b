//! RE2's syntax, as Go reads it, in terms of the `regex` crate: Prometheus's users write the former.
//!
//! Classes are ASCII (`\d`, `\w`, `\s`, `\b`), what only Rust knows is refused (`[a&&b]`, `(?x)`, `\<`) or
//! literal (`a{,3}`, `x{`), and what only Go knows is translated (`\Q…\E`, `\101`, `[:word:]` in any class).
//! Errors are Go's. One difference stays: `\B` knows letters beyond ASCII.

use std::fmt::Write as _;

/// Most repetitions that `{n}` may ask for.
const REPEAT_MAX: u32 = 1000;

/// The names of Unicode's general categories; all other names are scripts.
const CATEGORIES: [&str; 37] = [
    "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl",
    "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
    "Any",
];

/// ASCII classes that stand inside brackets.
const POSIX: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

/// The text in the `regex` crate's syntax.
///
/// # Errors
/// What is wrong with it, in Go's words.
pub(crate) fn translate(source: &str) -> Result<String, String> {
    let mut translator = Translator { source, at: 0, out: String::new(), groups: Vec::new(), operand: Operand::None };
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

/// The ASCII class of an escape, as the inside of brackets.
fn perl(c: char) -> Option<&'static str> {
    Some(match c.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\x0C\r ",
        _ => return None,
    })
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
            let Some(end) = rest.find('>') else { return wrong("invalid named capture", &self.source[start..]) };
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

    /// An escape outside of brackets.
    fn escape(&mut self) -> Result<(), String> {
        let start = self.at;
        self.operand = Operand::Some;
        let Some(c) = self.rest().chars().nth(1) else {
            return wrong("trailing backslash at end of expression", "");
        };
        let two = self.at + 1 + c.len_utf8();
        match c {
            'A' | 'z' | 'B' => {
                let _ = write!(self.out, "\\{c}");
                self.at = two;
            }
            'b' => {
                self.out.push_str(r"(?-u:\b)");
                self.at = two;
            }
            'Q' => {
                self.at = two;
                let rest = self.rest();
                let (text, used) = match rest.split_once("\\E") {
                    Some((text, _)) => (text, text.len() + 2),
                    None => (rest, rest.len()),
                };
                self.at += used;
                text.chars().for_each(|c| literal(&mut self.out, c));
            }
            c if let Some(class) = perl(c) => {
                let negated = if c.is_ascii_uppercase() { "^" } else { "" };
                let _ = write!(self.out, "[{negated}{class}]");
                self.at = two;
            }
            'p' | 'P' => {
                let class = self.unicode(start)?;
                self.out.push_str(&class);
            }
            _ => {
                let c = self.escaped_character()?;
                literal(&mut self.out, c);
            }
        }
        Ok(())
    }

    /// `\pL`, `\p{Greek}`, `\P{^Lu}`.
    fn unicode(&mut self, start: usize) -> Result<String, String> {
        self.next();
        let mut negated = self.next() == Some('P');
        let name = match self.next() {
            Some('{') => {
                let rest = self.rest();
                let Some(end) = rest.find('}') else {
                    return wrong("invalid character class range", &self.source[start..]);
                };
                self.at += end + 1;
                &rest[..end]
            }
            Some(c) => &self.source[self.at - c.len_utf8()..self.at],
            None => return wrong("invalid character class range", &self.source[start..]),
        };
        let plain = name.strip_prefix('^');
        negated ^= plain.is_some();
        let name = plain.unwrap_or(name);
        let letter = if negated { 'P' } else { 'p' };
        let class = if CATEGORIES.contains(&name) {
            format!("\\{letter}{{{name}}}")
        } else {
            format!("\\{letter}{{Script={name}}}")
        };
        let word = name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
        if name.is_empty() || !word || regex::Regex::new(&class).is_err() {
            return wrong("invalid character class range", &self.source[start..self.at]);
        }
        Ok(class)
    }

    /// The character that an escape stands for.
    fn escaped_character(&mut self) -> Result<char, String> {
        let start = self.at;
        self.next();
        let Some(c) = self.next() else { return wrong("trailing backslash at end of expression", "") };
        let found = match c {
            // A single digit would be a reference to a group.
            '1'..='7' if !self.rest().starts_with(|c: char| ('0'..='7').contains(&c)) => None,
            '0'..='7' => {
                let mut value = c.to_digit(8).unwrap_or_default();
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|c| c.to_digit(8)) else { break };
                    self.next();
                    value = value * 8 + digit;
                }
                char::from_u32(value)
            }
            'x' => self.hexadecimal(),
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        match found {
            Some(c) => Ok(c),
            None => wrong("invalid escape sequence", &self.source[start..self.at]),
        }
    }

    fn hexadecimal(&mut self) -> Option<char> {
        let digits = if self.take("{") {
            let end = self.rest().find('}')?;
            let digits = &self.rest()[..end];
            self.at += end + 1;
            digits
        } else {
            let digits = self.rest().get(..2)?;
            self.at += 2;
            digits
        };
        let valid = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| valid)?)
    }

    /// `[…]`
    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        self.operand = Operand::Some;
        self.next();
        let mut out = String::from("[");
        if self.take("^") {
            out.push('^');
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return wrong("missing closing ]", &self.source[start..]),
                Some(']') if !first => break,
                Some('[') if self.rest().starts_with("[:") && self.rest()[2..].contains(":]") => {
                    self.posix(&mut out)?;
                }
                Some('\\') => {
                    let c = self.rest().chars().nth(1);
                    match c {
                        Some('p' | 'P') => {
                            let class = self.unicode(self.at)?;
                            out.push_str(&class);
                        }
                        Some(c) if let Some(class) = perl(c) => {
                            self.at += 2;
                            if c.is_ascii_uppercase() {
                                let _ = write!(out, "[^{class}]");
                            } else {
                                out.push_str(class);
                            }
                        }
                        _ => self.class_range(&mut out, start)?,
                    }
                }
                Some(_) => self.class_range(&mut out, start)?,
            }
            first = false;
        }
        self.next();
        out.push(']');
        self.out.push_str(&out);
        Ok(())
    }

    /// `[:alpha:]` or `[:^alpha:]`, inside brackets.
    fn posix(&mut self, out: &mut String) -> Result<(), String> {
        let rest = self.rest();
        let end = rest.find(":]").map_or(rest.len(), |at| at + 2);
        let text = &rest[..end];
        let name = text.trim_start_matches("[:").trim_end_matches(":]");
        if !POSIX.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return wrong("invalid character class range", text);
        }
        self.at += end;
        out.push_str(text);
        Ok(())
    }

    /// A character, or a range of them.
    fn class_range(&mut self, out: &mut String, class: usize) -> Result<(), String> {
        let start = self.at;
        let low = self.class_character(class)?;
        let mut high = low;
        // A minus before the closing bracket is one.
        if self.rest().starts_with('-') && !self.rest().starts_with("-]") && self.rest().len() > 1 {
            self.next();
            high = self.class_character(class)?;
            if high < low {
                return wrong("invalid character class range", &self.source[start..self.at]);
            }
        }
        let _ = write!(out, "\\x{{{:x}}}", u32::from(low));
        if high != low {
            let _ = write!(out, "-\\x{{{:x}}}", u32::from(high));
        }
        Ok(())
    }

    fn class_character(&mut self, class: usize) -> Result<char, String> {
        match self.peek() {
            None => wrong("missing closing ]", &self.source[class..]),
            Some('\\') => self.escaped_character(),
            Some(c) => {
                self.next();
                Ok(c)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, text: &str) -> bool {
        let regex = translate(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        regex::Regex::new(&format!("^(?s:{regex})$")).unwrap_or_else(|e| panic!("{regex}: {e}")).is_match(text)
    }

    #[test]
    fn classes_are_ascii() {
        for (source, yes, no) in [
            (r"\d+", "012", "٣"),
            (r"\D", "٣", "3"),
            (r"\w+", "a_9", "é"),
            (r"\W", "é", "e"),
            (r"\s", "\t", "\u{a0}"),
            (r"\S", "\u{b}", " "),
            (r"[\d\w]+", "a1", "é"),
            (r"[^\D]", "4", "x"),
            (r"[[:alpha:]]+", "ab", "é"),
            (r"[[:^digit:]x]", "é", "1"),
            (r"a\b.+", "a é", "ab"),
            (r"\p{Greek}\pL\P{Lu}[\p{^Lu}]", "λaaa", "aaaa"),
        ] {
            assert!(matches(source, yes), "{source} {yes}");
            assert!(!matches(source, no), "{source} {no}");
        }
    }

    #[test]
    fn what_only_rust_knows_is_literal_and_what_only_go_knows_is_translated() {
        for (source, text) in [
            ("a{,3}", "a{,3}"),
            ("x{", "x{"),
            ("{1", "{1"),
            ("a{01}", "a{01}"),
            ("[a&&b]", "&"),
            ("[+--]+", "+,-"),
            ("[a~~b]+", "~~"),
            ("[[a]+", "[a["),
            ("[]a]+", "]a"),
            ("[a-]+", "a-"),
            (r"\Qa.b*\E+", "a.b***"),
            (r"\101\x42\x{43}\n", "ABC\n"),
            (r"[\x41-\103]+", "ABC"),
            ("(?P<a>x)(?<b>y)", "xy"),
            ("(?i)AbC", "aBc"),
            ("(?i:a)b(?)", "Ab"),
            ("(?-s:.)(?U)a+", "ba"),
            ("a.b", "a\nb"),
            ("a|b#c ~", "b#c ~"),
            ("^a$", "a"),
            ("a{2}b{1,}c{0,2}?", "aabb"),
            ("é-λ", "é-λ"),
        ] {
            assert!(matches(source, text), "{source} {text}");
        }
        assert!(!matches("[a&&b]", "c") && !matches("a.b", "ab"));
    }

    #[test]
    fn errors_are_those_of_go() {
        for (source, error) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("a|+", "missing argument to repetition operator: `+`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a+?{2}", "invalid nested repetition operator: `+?{2}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\y", r"invalid escape sequence: `\y`"),
            (r"\1", r"invalid escape sequence: `\1`"),
            (r"\<a", ""),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<a>.)(?P<a>.)", "invalid named capture: `(?P<a>`"),
        ] {
            match translate(source) {
                Ok(_) => assert_eq!(error, "", "{source}"),
                Err(found) => assert_eq!(found, error, "{source}"),
            }
        }
    }
}
