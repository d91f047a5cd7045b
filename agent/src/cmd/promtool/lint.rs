//! Lints of rules and configurations: what is valid and probably not meant.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use config::Loaded;
use model::Labels;
use rules::RuleGroup;

#[derive(Args, Debug)]
pub(super) struct LintFlags {
    /// Linting checks to apply: all, duplicate-rules, none.
    #[arg(long, default_value = "duplicate-rules")]
    pub(super) lint: String,
    /// Make lint errors exit with exit code 3.
    #[arg(long)]
    pub(super) lint_fatal: bool,
}

/// Which lints apply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lint {
    duplicate_rules: bool,
    long_interval: bool,
    /// Whether a lint is as bad as an error.
    pub(super) fatal: bool,
}

impl Lint {
    /// From the flag's words; what nobody knows is said. `config` where lints of configurations are among them.
    #[allow(clippy::print_stdout, reason = "promtool warns there")]
    pub(super) fn new(words: &str, fatal: bool, config: bool) -> Self {
        let mut lint = Self { duplicate_rules: false, long_interval: false, fatal };
        for word in words.split(',') {
            match word {
                "all" => (lint.duplicate_rules, lint.long_interval) = (true, config),
                "duplicate-rules" => lint.duplicate_rules = true,
                "too-long-scrape-interval" if config => lint.long_interval = true,
                "none" => {}
                other => println!("WARNING: unknown lint option {other}"),
            }
        }
        lint
    }

    /// Rules that record or alert under the same name and labels.
    pub(super) fn duplicates(&self, groups: &[RuleGroup]) -> Option<String> {
        let rules = groups.iter().flat_map(|group| &group.rules).filter(|_| self.duplicate_rules);
        let mut names: Vec<(&str, &Labels)> = rules.map(|rule| (rule.name(), rule.labels())).collect();
        names.sort();
        let mut twice: Vec<_> =
            names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.dedup();
        if twice.is_empty() {
            return None;
        }
        let mut text = format!("lint error {} duplicate rule(s) found.\n", twice.len());
        for (name, labels) in twice {
            let _ = writeln!(text, "Metric: {name}\nLabel(s):");
            for (name, value) in labels.pairs() {
                let _ = writeln!(text, "\t{name}: {value}");
            }
        }
        text.push_str("Might cause inconsistency while recording expressions");
        Some(text)
    }

    /// Jobs whose series are stale between two scrapes.
    pub(super) fn long_intervals(&self, loaded: &Loaded, lookback: Duration) -> Vec<String> {
        let jobs = loaded.scrape_configs.iter().filter(|job| self.long_interval && job.interval >= lookback);
        jobs.map(|job| {
            format!(
                "lint error long_scrape_interval found. Data point will be marked as stale after the lookback delta, \
                 before the next scrape. Job: {:?}. Interval: {}",
                job.job_name,
                model::format_duration(job.interval)
            )
        })
        .collect()
    }
}
