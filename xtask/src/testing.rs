//! `cargo xtask test`: the test command of the project.
//!
//! Runs `cargo test` over the workspace, doc tests included, turns on `broker-tests` wherever a
//! member has it, and ends with one line of totals. Nothing is skipped quietly: ignored tests are
//! counted in that line.

use std::io::{BufRead, BufReader, Write};
use std::process::{ExitCode, Stdio};

use clap::Args;

use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, Metadata, cargo};

/// The feature behind which tests stand that need a broker.
const BROKER_TESTS: &str = "broker-tests";

/// What `cargo xtask test` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave out the tests that need a broker.
    #[arg(long)]
    no_brokers: bool,
    /// Passed on to `cargo test`, such as `-p pontoon-core` or a test's name; without any,
    /// the whole workspace runs.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Sums of the `test result:` lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests marked `#[ignore]`.
    pub ignored: u64,
}

impl Totals {
    /// Adds one line of a test binary's output, if it is a result line.
    pub fn add(&mut self, line: &str) {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return;
        };
        // `ok. 12 passed; 0 failed; 1 ignored; …`: the first part still has the verdict before it.
        for part in rest.split(['.', ';']) {
            let Some((number, what)) = part.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// The line that ends `cargo xtask test`.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { passed, failed, ignored } = self;
        if *ignored == 0 {
            format!("{passed} passed, {failed} failed")
        } else {
            format!("{passed} passed, {failed} failed, {ignored} ignored")
        }
    }
}

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run at all.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let metadata = workspace::metadata(false)?;
    let mut command = cargo();
    command.arg("test").arg("--no-fail-fast");
    if options.rest.is_empty() {
        command.arg("--workspace");
        if !options.no_brokers {
            let features = broker_features(&metadata);
            if !features.is_empty() {
                command.arg("--features").arg(features.join(","));
            }
        }
    }
    command.args(&options.rest);
    let mut child = command.stdout(Stdio::piped()).spawn().doing(|| "running cargo test".to_owned())?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Problem::new("cargo test has no output"));
    };
    let mut totals = Totals::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.doing(|| "reading the output of cargo test".to_owned())?;
        // Tests may print anything; a reader that went away is no reason to stop the tests.
        let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n"));
        totals.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().doing(|| "waiting for cargo test".to_owned())?;
    // A build error or a crashed test binary fails without a result line of its own.
    if !status.success() && totals.failed == 0 {
        eprintln!("cargo test failed ({status}) beside the tests counted: see above");
    }
    println!("{}", totals.line());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `package/broker-tests` of every member that has the feature.
fn broker_features(metadata: &Metadata) -> Vec<String> {
    metadata
        .members()
        .filter(|package| package.features.contains_key(BROKER_TESTS))
        .map(|package| format!("{}/{BROKER_TESTS}", package.name))
        .collect()
}
