//! What amtool's commands are given: defaults from files, features, matchers, times.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alertmanager::matcher::{MatcherMode, parse_matcher_in};
use alertmanager::quoted;
use anyhow::{Result, anyhow, bail};
use env::SystemClock;
use jiff::Timestamp;
use model::{MatchOp, Matcher};

/// Bytes of a file or of standard input at most.
const FILE_MAX: u64 = 256 << 20;

/// Flags that configuration files name otherwise.
const RENAMED: [(&str, &str); 1] = [("comment_required", "require-comment")];

/// Features that Alertmanager knows; those that are not about matchers mean nothing to amtool there, either.
pub(crate) const FEATURES: [&str; 8] = [
    "alert-names-in-metrics",
    "receiver-name-in-metrics",
    "group-key-in-metrics",
    "classic-mode",
    "utf8-strict-mode",
    "auto-gomemlimit",
    "auto-gomaxprocs",
    "event-recorder",
];

/// Defaults for flags: the user's file before the machine's.
pub(super) fn defaults() -> Result<BTreeMap<String, String>, String> {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let mut all = BTreeMap::new();
    for path in [Path::new(&home).join(".config/amtool/config.yml"), PathBuf::from("/etc/amtool/config.yml")]
    {
        if !path.is_file() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (name, value) in pairs(&path, &text)? {
            all.entry(name).or_insert(value);
        }
    }
    Ok(all)
}

fn pairs(path: &Path, text: &str) -> Result<BTreeMap<String, String>, String> {
    let file: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
    let root = yaml::parse(&file, text).map_err(|errors| errors.to_string())?;
    let mut found = BTreeMap::new();
    for entry in root.entries() {
        let value = match entry.value.text() {
            Some(text) => text.to_owned(),
            None if entry.value.is_null() => String::new(),
            None => return Err(format!("{}: {} is no text", path.display(), entry.key)),
        };
        found.insert(entry.key.clone(), value);
    }
    for (old, new) in RENAMED {
        if let Some(value) = found.remove(old) {
            found.entry(new.to_owned()).or_insert(value);
        }
    }
    Ok(found)
}

/// How matchers are read with these features.
pub(crate) fn matcher_mode(features: &str) -> Result<MatcherMode> {
    let named: Vec<&str> = features.split(',').filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = named.iter().find(|name| !FEATURES.contains(name)) {
        bail!("error parsing the feature flag list: unknown option '{unknown}' for --enable-feature");
    }
    match (named.contains(&"classic-mode"), named.contains(&"utf8-strict-mode")) {
        (true, true) => {
            bail!("error parsing the feature flag list: cannot have both classic and UTF-8 modes enabled")
        }
        (true, false) => Ok(MatcherMode::Classic),
        (false, true) => Ok(MatcherMode::Utf8),
        (false, false) => Ok(MatcherMode::Fallback),
    }
}

/// Matchers as they were written, but for a first word that is none: it is an alert's name.
pub(super) fn with_alertname(words: &[String], mode: MatcherMode) -> Vec<String> {
    let mut words = words.to_vec();
    if let Some(first) = words.first_mut()
        && parse_matcher_in(mode, first).is_err()
    {
        *first = format!("alertname={}", quoted(first));
    }
    words
}

/// Reads matchers.
pub(super) fn matchers(words: &[String], mode: MatcherMode) -> Result<Vec<Matcher>> {
    words.iter().map(|word| parse_matcher_in(mode, word).map_err(anyhow::Error::msg)).collect()
}

/// Reads `NAME=VALUE`s; `what` they are is for the error.
pub(super) fn labels(
    words: &[impl AsRef<str>],
    mode: MatcherMode,
    what: &str,
) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for word in words {
        let matcher = parse_matcher_in(mode, word.as_ref()).map_err(anyhow::Error::msg)?;
        if matcher.op() != MatchOp::Equal {
            bail!("{what} must be specified as key=value pairs");
        }
        found.insert(matcher.name().to_owned(), matcher.value().to_owned());
    }
    Ok(found)
}

/// Milliseconds since the Unix epoch.
pub(super) fn now_ms() -> i64 {
    SystemClock::shared().now_ms()
}

/// Reads a time of RFC 3339; `None` where nothing was said.
pub(super) fn time(text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let layout = "2006-01-02T15:04:05Z07:00";
    let time: Timestamp =
        text.parse().map_err(|error| anyhow!("parsing time {text:?} as {layout:?}: {error}"))?;
    Ok(Some(time.as_millisecond()))
}

/// How long a silence holds: Prometheus's `1d12h`, in milliseconds.
pub(super) fn holds_for(text: &str) -> Result<i64> {
    let duration = model::parse_duration(text).map_err(|error| anyhow!("{error}"))?;
    if duration == Duration::ZERO {
        bail!("silence duration must be greater than 0");
    }
    Ok(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// Reads a file, or standard input where there is none.
pub(super) fn read(path: Option<&str>) -> Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    let source: Box<dyn std::io::Read> = match path {
        Some(path) => Box::new(std::fs::File::open(path).map_err(|error| anyhow!("open {path}: {error}"))?),
        None => Box::new(std::io::stdin().lock()),
    };
    source.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        bail!("{}: over {FILE_MAX} bytes", path.unwrap_or("standard input"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_files_have_texts_and_old_names() {
        let read = |text: &str| pairs(Path::new("config.yml"), text);
        let found = read("author: me\ncomment_required: false\ntimeout: 5s\noutput:\n").expect("valid");
        let want = [("author", "me"), ("output", ""), ("require-comment", "false"), ("timeout", "5s")];
        assert_eq!(found, want.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        let both = read("comment_required: false\nrequire-comment: true\n").expect("valid");
        assert_eq!(both["require-comment"], "true");
        assert!(read("author: [a]").is_err());
    }

    #[test]
    fn features_decide_the_grammar() {
        for (features, want) in [
            ("", Some(MatcherMode::Fallback)),
            ("classic-mode", Some(MatcherMode::Classic)),
            ("auto-gomemlimit,utf8-strict-mode", Some(MatcherMode::Utf8)),
            ("classic-mode,utf8-strict-mode", None),
            ("modern-mode", None),
        ] {
            assert_eq!(matcher_mode(features).ok(), want, "{features}");
        }
    }

    #[test]
    fn a_first_word_that_is_no_matcher_is_an_alerts_name() {
        for (mode, words, want) in [
            (MatcherMode::Fallback, &["a b", "c=d"][..], &["alertname=\"a b\"", "c=d"][..]),
            (MatcherMode::Fallback, &["a=~b", "c"], &["a=~b", "c"]),
            (MatcherMode::Fallback, &["a\"b"], &["alertname=\"a\\\"b\""]),
            (MatcherMode::Classic, &["größe=1"], &["alertname=\"größe=1\""]),
            (MatcherMode::Utf8, &["größe=1"], &["größe=1"]),
            (MatcherMode::Utf8, &[], &[]),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(with_alertname(&words, mode), want, "{words:?}");
        }
    }
}
