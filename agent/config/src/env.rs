//! `$VAR` and `${VAR}` in external labels: the only place where Prometheus expands them.

/// `text` with variables replaced, an unset one by nothing; `$$` is a dollar.
pub(crate) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, length) = name(rest);
        match name {
            Some("$") => out.push('$'),
            Some(name) => out.push_str(&variable(name).unwrap_or_default()),
            // As Go's os.Expand: a dollar before anything else stays, bad braces are eaten.
            None if length == 0 => out.push('$'),
            None => {}
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// The variable's name at the start of `rest` and the bytes it takes.
fn name(rest: &str) -> (Option<&str>, usize) {
    if let Some(inner) = rest.strip_prefix('{') {
        return match inner.find('}') {
            Some(0) => (None, 2),
            Some(end) => (Some(&inner[..end]), end + 2),
            None => (None, 1),
        };
    }
    if let Some(first) = rest.bytes().next().filter(|byte| b"*#$@!?-0123456789".contains(byte)) {
        return (Some(if first == b'$' { "$" } else { &rest[..1] }), 1);
    }
    let end = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    if end == 0 { (None, 0) } else { (Some(&rest[..end]), end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_come_with_and_without_braces() {
        let variable = |name: &str| (name == "TEST").then(|| "x".to_owned());
        for (text, expanded) in [
            ("foo$TEST/bar", "foox/bar"),
            ("foo${TEST}bar", "fooxbar"),
            ("$$TEST", "$TEST"),
            ("a$UNSET", "a"),
            ("a$", "a$"),
            ("a$ b", "a$ b"),
            ("${", ""),
            ("", ""),
            ("größe$TEST", "größex"),
        ] {
            assert_eq!(expand(text, &variable), expanded, "{text}");
        }
    }
}
