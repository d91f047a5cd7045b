//! `test`: scripts against the query engine, without running anything else.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use promql::script::run_script;

#[derive(Subcommand, Debug)]
pub(crate) enum TestCommand {
    /// Test scripts for PromQL, in the language of Prometheus's promqltest.
    Promql {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

#[allow(clippy::print_stdout, reason = "the answer is what was asked for")]
pub(crate) fn test(command: &TestCommand) -> Result<()> {
    let TestCommand::Promql { files } = command;
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
