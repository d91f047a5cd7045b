//! `check-config`.

use std::io::IsTerminal as _;
use std::path::Path;

use alertmanager::config::AlertmanagerConfig;
use alertmanager::matcher::MatcherMode;
use anyhow::{Result, bail};
use template::AlertTemplates;

use super::{plain, say, warn};

const STDIN: &str = "/dev/stdin";

/// Checks files, or standard input, and says what was found.
pub(super) fn check(files: &[String], mode: MatcherMode) -> Result<()> {
    let standard = [STDIN.to_owned()];
    let files = match files {
        [] if std::io::stdin().is_terminal() => return Err(plain("Failed to read from standard input")),
        [] => &standard,
        named => named,
    };
    let failed: usize = files.iter().map(|file| check_one(file, mode)).sum();
    if failed > 0 {
        bail!("failed to validate {failed} file(s)");
    }
    Ok(())
}

/// How many things are wrong with a file.
fn check_one(file: &str, mode: MatcherMode) -> usize {
    say(&format!("Checking '{file}'"));
    let config = match AlertmanagerConfig::load(Path::new(file), mode) {
        Ok(config) => config,
        Err(errors) => {
            say(&format!("  FAILED: {errors}\n\n"));
            return 1;
        }
    };
    say("  SUCCESS\nFound:\n - global config\n - route\n");
    say(&format!(
        " - {} inhibit rules\n - {} receivers\n - {} templates\n",
        config.inhibit_rules.len(),
        config.receivers.len(),
        config.templates.len()
    ));
    for place in config.unsupported() {
        warn(&format!("Warning: {place}"));
    }
    let mut failed = 0;
    if !config.templates.is_empty() {
        match AlertTemplates::load(&config.templates) {
            Ok(_) => say("  SUCCESS\n"),
            Err(why) => {
                say(&format!("  FAILED: {why}\n"));
                failed = 1;
            }
        }
    }
    say("\n");
    failed
}
