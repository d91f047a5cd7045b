//! `test`: scripts against the query engine, and unit tests of rules, without running anything else.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use promql::script::run_script;
use vedette_agent::cli::Quiet;
use vedette_agent::flags::FeatureFlags;
use vedette_agent::unit_test::{Output, UnitTestOptions, run_unit_tests};

#[derive(Subcommand, Debug)]
pub(crate) enum TestCommand {
    /// Test scripts for PromQL, in the language of Prometheus's promqltest.
    Promql {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Unit tests for rules, as promtool runs them.
    Rules(Box<OwnTestRules>),
}

/// `test rules` under the program's own name.
#[derive(Args, Debug)]
pub(crate) struct OwnTestRules {
    #[command(flatten)]
    flags: TestRules,
    #[command(flatten)]
    features: FeatureFlags,
}

/// `test rules`, as promtool has it.
#[derive(Args, Debug)]
pub(crate) struct TestRules {
    /// The unit test files.
    #[arg(required = true, value_name = "TEST-RULE-FILE")]
    files: Vec<PathBuf>,
    /// Only run test groups whose names match the regular expression. Can be specified multiple times.
    #[arg(long, value_name = "REGEX")]
    run: Vec<String>,
    /// File path to store JUnit XML test results.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Tell what is done, and show all samples at the end of each test group.
    #[arg(long)]
    debug: bool,
    /// Print coloured differences between expected and received alerts.
    #[arg(long)]
    diff: bool,
    /// Ignore unknown fields in the rule files.
    #[arg(long)]
    ignore_unknown_fields: bool,
}

#[allow(clippy::print_stderr, reason = "there is no log")]
pub(crate) fn test(command: &TestCommand) -> Result<()> {
    match command {
        TestCommand::Promql { files } => scripts(files),
        TestCommand::Rules(own) => {
            own.features.enable();
            for feature in own.features.unknown() {
                eprintln!("unknown option for --enable-feature: {feature}");
            }
            rules(&own.flags, &own.features, None)
        }
    }
}

/// Runs unit tests, with features that are enabled already; `junit` is where results go unless the flags say.
///
/// # Errors
/// When a test fails; all was said by then.
pub(crate) fn rules(flags: &TestRules, features: &FeatureFlags, junit: Option<&Path>) -> Result<()> {
    let options = UnitTestOptions {
        run: flags.run.clone(),
        diff: flags.diff,
        debug: flags.debug,
        ignore_unknown_fields: flags.ignore_unknown_fields,
        junit: flags.junit.as_deref().or(junit).map(Path::to_path_buf),
        delayed_name_removal: features.has("promql-delayed-name-removal"),
    };
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let mut output = Output { out: &mut out, err: &mut err };
    if run_unit_tests(&flags.files, &options, &mut output)? { Ok(()) } else { Err(Quiet(1).into()) }
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
fn scripts(files: &[PathBuf]) -> Result<()> {
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
        let report = run_script(&file.display().to_string(), &text);
        passed += report.passed;
        failed += report.failed;
        for failure in &report.failures {
            println!("{}:{}: wanted {}", report.name, failure.line, failure.wanted);
            println!("    got {}", failure.got);
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        bail!("{failed} of {} tests failed", passed + failed);
    }
    Ok(())
}
