//! The names that the program goes by: its own, `amtool` and `alertmanager`, which take those programs' syntax.

use std::ffi::OsString;
use std::path::Path;

/// Where arguments go.
pub(crate) enum Name {
    /// To the program itself.
    Own(Vec<OsString>),
    /// To amtool.
    Amtool(Vec<String>),
    /// To the alertmanager alone.
    Alertmanager(Vec<String>),
}

/// Reads the name that the program was called by.
pub(crate) fn read(arguments: Vec<OsString>) -> Name {
    let name = arguments.first().and_then(|name| Path::new(name).file_name()).unwrap_or_default();
    let words = || arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match name.to_str() {
        Some("amtool") => Name::Amtool(words()),
        Some("alertmanager" | "prometheus-alertmanager") => Name::Alertmanager(words()),
        _ => Name::Own(arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_their_own_ways() {
        let said = |line: &str| match read(line.split(' ').map(OsString::from).collect()) {
            Name::Own(arguments) => format!("own {}", arguments.len()),
            Name::Amtool(words) => format!("amtool {words:?}"),
            Name::Alertmanager(words) => format!("alertmanager {words:?}"),
        };
        for (line, want) in [
            ("vedette-federation run", "own 2"),
            ("/usr/bin/amtool alert -q", r#"amtool ["alert", "-q"]"#),
            ("./alertmanager --version", r#"alertmanager ["--version"]"#),
            ("prometheus-alertmanager", "alertmanager []"),
        ] {
            assert_eq!(said(line), want, "{line}");
        }
    }
}
