//! Matchers as text: `severity="page", team=~"a|b"`, in Alertmanager's three modes.

use model::{MatchOp, Matcher};

/// Which grammar matchers are read by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MatcherMode {
    /// Both grammars; where they disagree, or only the classic one accepts, the classic one counts.
    #[default]
    Fallback,
    /// The classic grammar: legacy label names, quotes optional.
    Classic,
    /// The UTF-8 grammar: any label name, quoted where it needs it.
    Utf8,
}

/// Reads a list of matchers, with or without braces, in fallback mode.
///
/// # Errors
/// A message in Alertmanager's words when it is none; where both grammars refuse, the classic one's.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, String> {
    parse_matchers_in(MatcherMode::Fallback, text)
}

/// Reads a list of matchers, with or without braces.
///
/// # Errors
/// A message in Alertmanager's words when it is none.
pub fn parse_matchers_in(mode: MatcherMode, text: &str) -> Result<Vec<Matcher>, String> {
    match mode {
        MatcherMode::Classic => classic(text),
        MatcherMode::Utf8 => Utf8::read(text),
        MatcherMode::Fallback => match (Utf8::read(text), classic(text)) {
            (_, Ok(classic)) => Ok(classic),
            (Ok(utf8), Err(_)) => Ok(utf8),
            (Err(_), Err(classic)) => Err(classic),
        },
    }
}

/// Reads one matcher, without braces.
///
/// # Errors
/// A message in Alertmanager's words when it is none.
pub fn parse_matcher_in(mode: MatcherMode, text: &str) -> Result<Matcher, String> {
    if mode != MatcherMode::Classic && (text.starts_with('{') || text.ends_with('}')) {
        return Err(format!("unexpected open or close brace: {text}"));
    }
    let utf8 = || match Utf8::read(text)?.as_slice() {
        [one] => Ok(one.clone()),
        found => Err(format!("expected 1 matcher, found {}", found.len())),
    };
    match mode {
        MatcherMode::Classic => classic_one(text),
        MatcherMode::Utf8 => utf8(),
        MatcherMode::Fallback => classic_one(text).or_else(|classic| utf8().map_err(|_| classic)),
    }
}

fn new(name: &str, op: MatchOp, value: String) -> Result<Matcher, String> {
    Matcher::new(name, op, value).map_err(|error| error.to_string())
}

fn classic(text: &str) -> Result<Vec<Matcher>, String> {
    let inner = text.strip_prefix('{').unwrap_or(text);
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut quoted, mut escaped) = (false, false);
    let mut tokens = vec![String::new()];
    for c in inner.chars() {
        match c {
            ',' if !quoted => {
                tokens.push(String::new());
                continue;
            }
            '"' if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
        if let Some(token) = tokens.last_mut() {
            token.push(c);
        }
    }
    if tokens.last().is_some_and(|last| last.trim().is_empty()) {
        tokens.pop();
    }
    tokens.iter().map(|token| classic_one(token)).collect()
}

fn classic_one(text: &str) -> Result<Matcher, String> {
    let bad = || format!("bad matcher format: {text}");
    let trimmed = text.trim();
    let named = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = trimmed.find(|c| !named(c)).ok_or_else(bad)?;
    let (name, rest) = trimmed.split_at(end);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(bad());
    }
    let (op, value) = operator(rest.trim_start()).ok_or_else(bad)?;
    new(name, op, classic_value(value.trim())?)
}

/// The operator at the start of `text`, and what follows.
fn operator(text: &str) -> Option<(MatchOp, &str)> {
    [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)]
        .into_iter()
        .find_map(|(word, op)| text.strip_prefix(word).map(|rest| (op, rest)))
}

fn classic_value(text: &str) -> Result<String, String> {
    let stray = || format!("matcher value contains unescaped double quote: {text}");
    let raw = text.strip_prefix('"');
    let mut open = raw.is_some();
    let mut chars = raw.unwrap_or(text).chars().peekable();
    let mut value = String::new();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped @ ('"' | '\\')) => value.push(escaped),
                // Before anything else a backslash is a backslash.
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            '"' if open && chars.peek().is_none() => open = false,
            '"' => return Err(stray()),
            other => value.push(other),
        }
    }
    if open { Err(stray()) } else { Ok(value) }
}

/// Reader of the UTF-8 grammar; places are columns in characters.
struct Utf8 {
    chars: Vec<char>,
    at: usize,
}

/// Characters that a bare name or value cannot hold.
fn reserved(c: char) -> bool {
    c.is_whitespace() || "{}!=~,\\\"'`".contains(c)
}

impl Utf8 {
    fn read(text: &str) -> Result<Vec<Matcher>, String> {
        let mut reader = Self { chars: text.chars().collect(), at: 0 };
        reader.matchers()
    }

    fn peek(&mut self) -> Option<char> {
        while self.chars.get(self.at).is_some_and(|c| c.is_whitespace()) {
            self.at += 1;
        }
        self.chars.get(self.at).copied()
    }

    fn take(&mut self, wanted: char) -> bool {
        let hit = self.peek() == Some(wanted);
        self.at += usize::from(hit);
        hit
    }

    fn unexpected<T>(&mut self, wanted: &str) -> Result<T, String> {
        let found = self.peek();
        let at = self.at;
        Err(match found {
            None => format!("{at}:{at}: end of input: expected {wanted}"),
            Some(c) => format!("{at}:{}: unexpected {c}: expected {wanted}", at + 1),
        })
    }

    fn matchers(&mut self) -> Result<Vec<Matcher>, String> {
        let mut found = Vec::new();
        let braced = self.take('{');
        loop {
            if braced && self.take('}') {
                break;
            }
            if !braced && self.peek().is_none() {
                break;
            }
            found.push(self.matcher()?);
            if self.take(',') {
                continue;
            }
            match (self.peek(), braced) {
                (Some('}'), true) | (None, false) => {}
                (_, true) => return self.unexpected("comma or close brace"),
                (Some('}'), false) => {
                    return Err(format!("{}:{}: }}: expected opening brace", self.at, self.at + 1));
                }
                (_, false) => return self.unexpected("comma or end of input"),
            }
        }
        if self.peek().is_some() { self.unexpected("end of input") } else { Ok(found) }
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let name = self.word("label name")?;
        let op = match (self.peek(), self.chars.get(self.at + 1)) {
            (Some('='), Some('~')) => MatchOp::Regex,
            (Some('='), _) => MatchOp::Equal,
            (Some('!'), Some('=')) => MatchOp::NotEqual,
            (Some('!'), Some('~')) => MatchOp::NotRegex,
            _ => return self.unexpected("an operator such as '=', '!=', '=~' or '!~'"),
        };
        self.at += if op == MatchOp::Equal { 1 } else { 2 };
        let value = self.word("label value")?;
        new(&name, op, value)
    }

    fn word(&mut self, wanted: &str) -> Result<String, String> {
        match self.peek() {
            Some('"') => self.quoted(),
            Some(c) if !reserved(c) => {
                let start = self.at;
                while self.chars.get(self.at).is_some_and(|c| !reserved(*c)) {
                    self.at += 1;
                }
                Ok(self.chars[start..self.at].iter().collect())
            }
            _ => self.unexpected(wanted),
        }
    }

    /// A double-quoted string with Go's escapes.
    fn quoted(&mut self) -> Result<String, String> {
        let start = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let c = self.chars.get(self.at).copied();
            self.at += 1;
            match c {
                Some('"') => break,
                Some('\\') => self.escape(start, &mut bytes)?,
                Some(c) if c != '\n' => bytes.extend(c.encode_utf8(&mut [0; 4]).bytes()),
                _ => {
                    let end = self.chars.len();
                    let text: String = self.chars[start..].iter().collect();
                    return Err(format!("{start}:{end}: {text}: missing end \""));
                }
            }
        }
        String::from_utf8(bytes).map_err(|_| format!("{start}:{}: invalid input: not UTF-8", self.at))
    }

    fn escape(&mut self, start: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
        let invalid = |at: usize| format!("{start}:{at}: invalid input: invalid syntax");
        let c = self.chars.get(self.at).copied();
        self.at += 1;
        let (radix, digits) = match c {
            Some('x') => (16, 2),
            Some('u') => (16, 4),
            Some('U') => (16, 8),
            Some('0'..='7') => {
                self.at -= 1;
                (8, 3)
            }
            Some(c) => {
                let plain = match c {
                    'a' => 7,
                    'b' => 8,
                    'f' => 12,
                    'n' => b'\n',
                    'r' => b'\r',
                    't' => b'\t',
                    'v' => 11,
                    '\\' => b'\\',
                    '"' => b'"',
                    _ => return Err(invalid(self.at)),
                };
                bytes.push(plain);
                return Ok(());
            }
            None => return Err(invalid(self.at)),
        };
        let text: String = self.chars.iter().skip(self.at).take(digits).collect();
        self.at += digits;
        let well_formed = text.len() == digits && text.chars().all(|c| c.is_digit(radix));
        let code =
            u32::from_str_radix(&text, radix).ok().filter(|_| well_formed).ok_or_else(|| invalid(self.at))?;
        if digits < 4 {
            bytes.push(u8::try_from(code).map_err(|_| invalid(self.at))?);
        } else {
            let c = char::from_u32(code).ok_or_else(|| invalid(self.at))?;
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(mode: MatcherMode, text: &str) -> String {
        match parse_matchers_in(mode, text) {
            Ok(found) => found
                .iter()
                .map(|matcher| format!("{}{}{:?}", matcher.name(), matcher.op(), matcher.value()))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => format!("error: {error}"),
        }
    }

    #[test]
    fn each_mode_reads_its_grammar() {
        use MatcherMode::{Classic, Fallback, Utf8};
        for (mode, text, read) in [
            (Fallback, r#"a=b"#, r#"a="b""#),
            (Fallback, r#"{a="b", c=~"d|e"}"#, r#"a="b" c=~"d|e""#),
            (Fallback, r#"a="b,c",d!=e,"#, r#"a="b,c" d!="e""#),
            (Fallback, r#"a="#, r#"a="""#),
            (Fallback, "{}", ""),
            (Fallback, "", ""),
            (Fallback, r#"a=x y"#, r#"a="x y""#),
            (Fallback, r#"größe="1""#, r#"größe="1""#),
            (Fallback, r#""a b"!~"c""#, r#"a b!~"c""#),
            (Fallback, r#"a="\d\n\"\\""#, "a=\"\\\\d\\n\\\"\\\\\""),
            (Fallback, "=x", "error: bad matcher format: =x"),
            (Fallback, r#"a="b"#, r#"error: matcher value contains unescaped double quote: "b"#),
            (Classic, r#"größe="1""#, r#"error: bad matcher format: größe="1""#),
            (Classic, "a=~b|c", r#"a=~"b|c""#),
            (Utf8, "a=x y", "error: 4:5: unexpected y: expected comma or end of input"),
            (Utf8, "{a=b", "error: 4:4: end of input: expected comma or close brace"),
            (Utf8, r#"a="\u00e9\x41""#, r#"a="éA""#),
            (Utf8, "a", "error: 1:1: end of input: expected an operator such as '=', '!=', '=~' or '!~'"),
            (Utf8, "a=b}", "error: 3:4: }: expected opening brace"),
        ] {
            assert_eq!(show(mode, text), read, "{mode:?} {text}");
        }
    }

    #[test]
    fn one_matcher_has_no_braces() {
        for mode in [MatcherMode::Fallback, MatcherMode::Utf8] {
            assert!(parse_matcher_in(mode, "{a=b}").is_err());
            assert!(parse_matcher_in(mode, "a=b").is_ok());
        }
        assert!(parse_matcher_in(MatcherMode::Utf8, "a=b,c=d").is_err());
        assert!(parse_matcher_in(MatcherMode::Fallback, "a=~(").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-c=!~,{}\"\\\\ xnuU0é]{0,24}") {
            for mode in [MatcherMode::Fallback, MatcherMode::Classic, MatcherMode::Utf8] {
                let _ = parse_matchers_in(mode, &text);
                let _ = parse_matcher_in(mode, &text);
            }
        }
    }
}
