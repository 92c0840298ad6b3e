//! `cargo xtask conformance`: the suite of conformance tests on each transport, with one line of totals and a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::brokers::place;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

/// A transport with its conformance test.
struct Suite {
    transport: &'static str,
    package: &'static str,
    test: &'static str,
}

const SUITES: [Suite; 2] = [
    Suite { transport: "memory", package: "pontoon-conformance", test: "memory" },
    Suite { transport: "memory-server", package: "pontoon-conformance", test: "memory_server" },
];

/// The package and test of the random schedules.
const SCHEDULES: [&str; 4] = ["--package", "pontoon-conformance", "--test", "random"];

/// What `cargo xtask conformance` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Which transport: `memory`, `memory-server`, or `all`.
    #[arg(long, default_value = "all")]
    transport: String,
    /// Which broker, for transports that have one; every one of them unless given.
    #[arg(long)]
    broker: Option<String>,
    /// Run the random schedules with faults too, in their short form.
    #[arg(long)]
    faults: bool,
    /// Only checks with this in their name, such as `ORD-` or `memory-queue::ACK-FINAL`.
    #[arg(long)]
    check: Option<String>,
    /// Repeats a run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the report goes, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A report, as the suite writes it.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Report {
    transport: String,
    profiles: Vec<String>,
    seed: u64,
    totals: Totals,
    checks: Vec<Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
struct Totals {
    checks: u64,
    passed: u64,
    failed: u64,
    not_applicable: u64,
    indeterminate: u64,
    waiting: u64,
}

impl Report {
    fn add(&mut self, other: Report) {
        let between = if self.transport.is_empty() { "" } else { "+" };
        self.transport = format!("{}{between}{}", self.transport, other.transport);
        self.profiles.extend(other.profiles);
        self.seed = other.seed;
        self.checks.extend(other.checks);
        let (mine, theirs) = (&mut self.totals, other.totals);
        mine.checks += theirs.checks;
        mine.passed += theirs.passed;
        mine.failed += theirs.failed;
        mine.not_applicable += theirs.not_applicable;
        mine.indeterminate += theirs.indeterminate;
        mine.waiting += theirs.waiting;
    }

    fn line(&self) -> String {
        let Totals { checks, passed, failed, not_applicable, indeterminate, waiting } = self.totals;
        format!(
            "{checks} checks: {passed} passed, {failed} failed, {not_applicable} not applicable, {indeterminate} \
             indeterminate, {waiting} waiting"
        )
    }
}

/// Runs the task.
///
/// # Errors
/// When no transport, broker or check is meant by what was given, when cargo cannot be run, or the report cannot be read
/// or written.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let suites = chosen(options)?;
    let folder = workspace::metadata(false)?.target_directory.join("conformance");
    place::make(&folder)?;
    let mut report = Report::default();
    let mut well = true;
    for suite in suites {
        println!("{}: seed {}", suite.transport, options.seed);
        let (found, held) = one(suite, options, &folder)?;
        well &= held;
        report.add(found);
    }
    if report.totals.checks == 0 {
        return Err(Problem::new(format!(
            "no check is meant by `{}`: see conformance-tests/TABLE.md for their names",
            options.check.as_deref().unwrap_or_default()
        )));
    }
    if options.faults {
        println!("random schedules: seed {}", options.seed);
        let mut command = cargo();
        command.args(["test", "--quiet"]).args(SCHEDULES).env("PONTOON_SEEDS", "100");
        well &= command.status().doing(|| "running cargo test".to_owned())?.success();
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report).doing(|| "writing the report".to_owned())?;
        place::write(path, &text)?;
        println!("report: {}", path.display());
    }
    println!("{}", report.line());
    let Totals { failed, indeterminate, .. } = report.totals;
    Ok(if well && failed + indeterminate == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chosen(options: &Options) -> Outcome<Vec<&'static Suite>> {
    if let Some(broker) = &options.broker {
        return Err(Problem::new(format!(
            "no transport needs the broker `{broker}` yet: leave out --broker, the memory transports need none"
        )));
    }
    let wanted = |suite: &&Suite| options.transport == "all" || suite.transport == options.transport;
    let suites: Vec<&Suite> = SUITES.iter().filter(wanted).collect();
    if suites.is_empty() {
        let known: Vec<&str> = SUITES.iter().map(|suite| suite.transport).collect();
        return Err(Problem::new(format!(
            "there is no transport `{}`: choose `all` or one of {}",
            options.transport,
            known.join(", ")
        )));
    }
    Ok(suites)
}

/// One suite: its report, and whether everything was as expected.
fn one(suite: &Suite, options: &Options, folder: &Path) -> Outcome<(Report, bool)> {
    let path = folder.join(format!("{}.json", suite.transport));
    // What an earlier run left must not be taken for this one's.
    if path.exists() {
        std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
    }
    let mut command = cargo();
    command.args(["test", "--quiet", "--package", suite.package, "--test", suite.test, "--", "--format", "pretty"]);
    command.args(options.check.as_slice());
    command.env("PONTOON_SEED", options.seed.to_string()).env("PONTOON_CONFORMANCE_REPORT", &path);
    let status = command.status().doing(|| "running cargo test".to_owned())?;
    let reading = || {
        let (package, test) = (suite.package, suite.test);
        format!("the suite left no report: run `cargo test -p {package} --test {test}` to see why")
    };
    let text = std::fs::read_to_string(&path).doing(reading)?;
    Ok((serde_json::from_str(&text).doing(reading)?, status.success()))
}
