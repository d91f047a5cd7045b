//! Mails as text: headers, addresses, the two parts and how they are encoded.

use std::fmt::Write as _;

/// Longest encoded word, and longest line of an encoded part.
const WORD_MOST: usize = 75;
const LINE_MOST: usize = 76;

/// A mail's headers and parts.
#[derive(Default)]
pub(crate) struct Mail {
    head: String,
    parts: String,
    boundary: String,
}

impl Mail {
    /// A mail whose parts are kept apart by `boundary`.
    pub(crate) fn new(boundary: &str) -> Self {
        Self { boundary: boundary.to_owned(), ..Self::default() }
    }

    /// A header. What is not plain ASCII is encoded, line breaks too: a value never becomes a header.
    pub(crate) fn header(&mut self, name: &str, value: &str) {
        let _ = write!(self.head, "{name}: {}\r\n", words(value));
    }

    /// A further form of the text; the last one is preferred.
    pub(crate) fn part(&mut self, content_type: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = write!(
            self.parts,
            "--{}\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: {content_type}\r\n\r\n{}\r\n",
            self.boundary,
            quoted_printable(text)
        );
    }

    /// The whole mail.
    pub(crate) fn finish(self) -> String {
        let Self { head, parts, boundary } = self;
        format!(
            "{head}Content-Type: multipart/alternative; boundary={boundary}\r\nMIME-Version: 1.0\r\n\r\n{parts}--{boundary}--\r\n"
        )
    }
}

/// A header's name as it is usually written: `reply-to` is `Reply-To`.
pub(crate) fn header_name(name: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(format!("{name:?} is no header name"));
    }
    let words = name.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{}", first.to_ascii_uppercase(), rest.to_ascii_lowercase())
    });
    Ok(words.collect::<Vec<_>>().join("-"))
}

/// The addresses of a list like `Ops <ops@example.org>, a@b`.
pub(crate) fn addresses(text: &str) -> Result<Vec<String>, String> {
    if text.contains(char::is_control) {
        return Err("a mail address holds a line break or another control character".to_owned());
    }
    let mut found = Vec::new();
    let (mut start, mut quoted, mut escaped, mut angle) = (0, false, false, false);
    let mut ends: Vec<usize> = Vec::new();
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => angle = true,
            '>' if !quoted => angle = false,
            ',' if !quoted && !angle => ends.push(at),
            _ => {}
        }
    }
    ends.push(text.len());
    for end in ends {
        let one = text[start..end].trim();
        start = end + 1;
        let bare = match (one.rfind('<'), one.strip_suffix('>')) {
            (Some(open), Some(inner)) => inner.get(open + 1..).unwrap_or_default().trim(),
            _ => one,
        };
        let fits = bare.split_once('@').is_some_and(|(user, host)| {
            let part = |text: &str| {
                !text.is_empty()
                    && !text.contains(|char: char| {
                        char.is_whitespace() || char.is_control() || "<>,;\"".contains(char)
                    })
            };
            part(user) && part(host) && !host.contains('@')
        });
        if !fits {
            return Err(format!("{one:?} is no mail address"));
        }
        found.push(bare.to_owned());
    }
    Ok(found)
}

/// A header's value, in encoded words where it must be.
fn words(value: &str) -> String {
    if value.bytes().all(|byte| (b' '..=b'~').contains(&byte) || byte == b'\t') {
        return value.to_owned();
    }
    const OPEN: &str = "=?utf-8?q?";
    const CLOSE: &str = "?=";
    let mut out = OPEN.to_owned();
    let mut len = OPEN.len();
    for char in value.chars() {
        let mut encoded = String::new();
        for byte in char.encode_utf8(&mut [0; 4]).bytes() {
            match byte {
                b' ' => encoded.push('_'),
                b'!'..=b'~' if !matches!(byte, b'=' | b'?' | b'_') => encoded.push(byte.into()),
                other => drop(write!(encoded, "={other:02X}")),
            }
        }
        // A word ends between characters.
        if len + encoded.len() + CLOSE.len() > WORD_MOST {
            out.push_str(CLOSE);
            out.push_str("\r\n ");
            out.push_str(OPEN);
            len = OPEN.len();
        }
        len += encoded.len();
        out.push_str(&encoded);
    }
    out + CLOSE
}

fn quoted_printable(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let mut out = String::with_capacity(text.len() + text.len() / 8);
    for (at, line) in text.split('\n').enumerate() {
        out.push_str(if at > 0 { "\r\n" } else { "" });
        let bytes = line.as_bytes();
        let mut len = 0;
        for (at, byte) in bytes.iter().enumerate() {
            let last = at + 1 == bytes.len();
            let plain = match byte {
                b'=' => false,
                b' ' | b'\t' => !last,
                byte => byte.is_ascii_graphic(),
            };
            let width = if plain { 1 } else { 3 };
            // One place is for the mark that the line goes on.
            if len + width > LINE_MOST - usize::from(!last) {
                out.push_str("=\r\n");
                len = 0;
            }
            len += width;
            if plain {
                out.push((*byte).into());
            } else {
                let _ = write!(out, "={byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_never_break_out() {
        let mut mail = Mail::new("b");
        mail.header("Subject", "a\r\nBcc: x@y");
        mail.header("X", "Größe");
        let text = mail.finish();
        assert!(
            text.starts_with("Subject: =?utf-8?q?a=0D=0ABcc:_x@y?=\r\nX: =?utf-8?q?Gr=C3=B6=C3=9Fe?=\r\n"),
            "{text}"
        );
        assert_eq!(header_name("reply-TO").as_deref(), Ok("Reply-To"));
        assert!(header_name("a: b").is_err());
        let long = words(&"ö".repeat(40));
        assert!(long.split("\r\n ").all(|word| word.len() <= WORD_MOST && word.ends_with("?=")), "{long}");
    }

    #[test]
    fn addresses_are_found() {
        for (text, found) in [
            ("a@b", Some(vec!["a@b"])),
            ("Ops <ops@x.org>, b@c", Some(vec!["ops@x.org", "b@c"])),
            ("\"Last, First\" <l@x>", Some(vec!["l@x"])),
            ("nobody", None),
            ("a@b,", None),
            ("a@b> SIZE=1", None),
            ("a@b\r\nRCPT TO:<c@d>", None),
        ] {
            let found = found.map(|it| it.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(addresses(text).ok(), found, "{text}");
        }
    }

    #[test]
    fn parts_are_quoted_printable() {
        assert_eq!(quoted_printable("a=b \nä\r\n\tc"), "a=3Db=20\r\n=C3=A4\r\n\tc");
        let long = quoted_printable(&"x".repeat(100));
        assert_eq!(long, format!("{}=\r\n{}", "x".repeat(75), "x".repeat(25)));
        assert_eq!(quoted_printable(&"x".repeat(76)), "x".repeat(76));
    }
}
