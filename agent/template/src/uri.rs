//! URLs in HTML: which may be linked to, and how their parts are written.

use std::fmt::Write as _;

use crate::escape::REFUSED;

/// Schemes that a link may have.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

/// The URL, or a harmless one in place of a script's.
pub(crate) fn filtered(url: &str) -> String {
    match url.split_once(':') {
        Some((scheme, _))
            if !scheme.contains('/') && !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            format!("#{REFUSED}")
        }
        _ => url.to_owned(),
    }
}

/// A URL or a part of it: what is reserved, and what is escaped already, stays.
pub(crate) fn normalized(url: &str) -> String {
    processed(url, true)
}

/// A text as a value in a URL's query.
pub(crate) fn escaped(text: &str) -> String {
    processed(text, false)
}

fn processed(text: &str, whole: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 16);
    for (at, byte) in bytes.iter().enumerate() {
        let hex = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        let stays = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@'
            | b'[' | b']' => whole,
            b'%' => whole && hex(at + 1) && hex(at + 2),
            byte => byte.is_ascii_alphanumeric(),
        };
        if stays {
            out.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02x}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_harmless() {
        for (url, shown) in [
            ("http://a/b?c=d", "http://a/b?c=d"),
            ("/a:b", "/a:b"),
            ("javascript:alert(1)", "#ZgotmplZ"),
            ("MailTo:a@b", "MailTo:a@b"),
        ] {
            assert_eq!(filtered(url), shown);
        }
        assert_eq!(normalized("http://a/b c?d='e'&f=%20%"), "http://a/b%20c?d=%27e%27&f=%20%25");
        assert_eq!(escaped("a b&c/ü"), "a%20b%26c%2f%c3%bc");
    }
}
