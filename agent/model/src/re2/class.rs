//! Escapes and bracketed classes.

use std::fmt::Write as _;

use super::{Operand, Translator, literal, wrong};

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

/// The ASCII class of an escape, as the inside of brackets.
fn perl(c: char) -> Option<&'static str> {
    Some(match c.to_ascii_lowercase() {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => r"\t\n\x0C\r ",
        _ => return None,
    })
}

impl Translator<'_> {
    /// An escape outside of brackets.
    pub(super) fn escape(&mut self) -> Result<(), String> {
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
    pub(super) fn class(&mut self) -> Result<(), String> {
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
