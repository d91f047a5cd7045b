//! `test rules`: promtool's unit-test files for rules, with the rules' own evaluation over a store in memory.

mod case;
mod file;
mod glob;
mod junit;
mod show;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use config::load_rules_with;
use env::SystemClock;
use model::{AnchoredRegex, NameValidation};
use rules::RuleGroup;

use self::case::Setup;
use self::file::TestFile;
use self::junit::Suite;

/// What promtool's flags say.
#[derive(Debug, Default)]
pub struct UnitTestOptions {
    /// Only groups whose name one of these finds something in; all where empty.
    pub run: Vec<String>,
    /// Show differences of alerts as one coloured text.
    pub diff: bool,
    /// Tell what is done, and show all samples at the end of each group.
    pub debug: bool,
    /// Take unknown keys in rule files.
    pub ignore_unknown_fields: bool,
    /// Where results go as JUnit's XML.
    pub junit: Option<PathBuf>,
    /// As with `--enable-feature=promql-delayed-name-removal`.
    pub delayed_name_removal: bool,
}

/// Where a run is told about.
pub struct Output<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").finish_non_exhaustive()
    }
}

impl Output<'_> {
    // Who reads may have seen enough: a run goes on for its exit code.
    fn say(&mut self, line: &str) {
        let _ = writeln!(self.out, "{line}");
        let _ = self.out.flush();
    }

    fn say_err(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }
}

/// Runs the files one after the other; whether all passed.
///
/// Starts a runtime of its own, so it is not for asynchronous code.
///
/// # Errors
/// When a regex of the options is none, or the results cannot be written.
pub fn run_unit_tests(
    files: &[PathBuf],
    options: &UnitTestOptions,
    out: &mut Output<'_>,
) -> anyhow::Result<bool> {
    let filter = match &options.run[..] {
        [] => None,
        // It may find something anywhere in the name.
        some => Some(AnchoredRegex::new(&format!(".*(?:{}).*", some.join("|")))?),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (mut suites, mut passed) = (Vec::new(), true);
    for file in files {
        out.say(&format!("Unit Testing:  {}", file.display()));
        let mut suite = Suite { name: file.display().to_string(), ..Suite::default() };
        let run = runtime.block_on(run_file(file, options, filter.as_ref(), &mut suite, out));
        if let Err(error) = run {
            suite.error = Some(error);
        }
        let wrong: Vec<&String> =
            suite.error.iter().chain(suite.cases.iter().flat_map(|(_, wrong)| wrong)).collect();
        if wrong.is_empty() {
            out.say("  SUCCESS");
        } else {
            passed = false;
            out.say_err("  FAILED:");
            for what in wrong {
                out.say_err(what);
                out.say("");
            }
        }
        out.say("");
        suites.push(suite);
    }
    if let Some(path) = &options.junit {
        std::fs::write(path, junit::document(&suites))
            .map_err(|error| anyhow::anyhow!("failed to write JUnit XML: {}: {error}", path.display()))?;
    }
    Ok(passed)
}

async fn run_file(
    path: &Path,
    options: &UnitTestOptions,
    filter: Option<&AnchoredRegex>,
    suite: &mut Suite,
    out: &mut Output<'_>,
) -> Result<(), String> {
    let file = TestFile::load(path)?;
    let now = jiff::Timestamp::from_millisecond(SystemClock::shared().now_ms()).unwrap_or_default();
    suite.timestamp = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let mut order = BTreeSet::new();
    if let Some(twice) = file.group_eval_order.iter().find(|name| !order.insert(name.as_str())) {
        return Err(format!("group name repeated in evaluation order: {twice}"));
    }
    let rules = groups(&file, options, out);
    for (at, group) in file.tests.iter().enumerate() {
        if filter.is_some_and(|filter| !filter.is_match(&group.name)) {
            continue;
        }
        let name = if group.name.is_empty() { format!("unnamed#{at}") } else { group.name.clone() };
        if options.debug {
            out.say_err(&format!("DEBUG: Starting test {name}"));
        }
        let wrong = match &rules {
            Ok(rules) => case::run(&Setup { file: &file, group, rules, options }, out).await,
            Err(errors) => errors.clone(),
        };
        if options.debug {
            out.say_err(&format!("DEBUG: Test {name} finished"));
        }
        suite.cases.push((name, wrong));
    }
    Ok(())
}

/// The rule groups of all files, in the order of their evaluation.
fn groups(
    file: &TestFile,
    options: &UnitTestOptions,
    out: &mut Output<'_>,
) -> Result<Vec<RuleGroup>, Vec<String>> {
    let (mut groups, mut errors, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for pattern in &file.rule_files {
        let found = glob::matching(pattern);
        if found.is_empty() {
            out.say_err(&format!("  WARNING: no file match pattern {}", pattern.display()));
        }
        for path in found {
            if !seen.insert(path.clone()) {
                continue;
            }
            match load_rules_with(&path, NameValidation::Utf8, options.ignore_unknown_fields) {
                Ok(found) => groups.extend(found),
                Err(error) => errors.push(error.to_string()),
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    // Groups that are not named count as the first, as in promtool.
    let place = |group: &RuleGroup| {
        file.group_eval_order.iter().position(|name| *name == group.name).unwrap_or_default()
    };
    groups.sort_by_key(place);
    Ok(groups)
}
