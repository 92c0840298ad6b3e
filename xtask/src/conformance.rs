//! `cargo xtask conformance`: the suite of conformance tests on each transport, with one line of totals and a report.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
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
    /// Run storms too (kills and cuts under load) and random schedules with faults, in their short form.
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
    /// Where the report goes, as JUnit XML.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Where the report goes, as a page for a browser.
    #[arg(long)]
    html: Option<PathBuf>,
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
    let mut reports = Vec::new();
    let mut checks = 0;
    let mut well = true;
    for suite in suites {
        println!("{}: seed {}", suite.transport, options.seed);
        let (path, found, held) = one(suite, options, &folder)?;
        well &= held;
        checks += found;
        reports.push(path);
    }
    if checks == 0 {
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
    well &= told(options, &reports)?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Puts the reports together, in every form that was asked for; the last line has the totals. Whether all is well.
fn told(options: &Options, reports: &[PathBuf]) -> Outcome<bool> {
    let mut command = cargo();
    command.args(["run", "--quiet", "--package", "pontoon-conformance", "--bin", "conformance-report", "--"]);
    command.args(reports);
    for (form, path) in [("--json", &options.json), ("--junit", &options.junit), ("--html", &options.html)] {
        if let Some(path) = path {
            command.arg(form).arg(path);
            println!("report: {}", path.display());
        }
    }
    Ok(command.status().doing(|| "running cargo run".to_owned())?.success())
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

/// One suite: its report, how many checks are in it, and whether everything was as expected.
fn one(suite: &Suite, options: &Options, folder: &Path) -> Outcome<(PathBuf, u64, bool)> {
    let path = folder.join(format!("{}.json", suite.transport));
    // What an earlier run left must not be taken for this one's.
    if path.exists() {
        std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
    }
    let mut command = cargo();
    command.args(["test", "--quiet", "--package", suite.package, "--test", suite.test, "--", "--format", "pretty"]);
    command.args(options.check.as_slice());
    command.env("PONTOON_SEED", options.seed.to_string()).env("PONTOON_CONFORMANCE_REPORT", &path);
    if options.faults {
        command.env("PONTOON_STORM", "short");
    }
    let status = command.status().doing(|| "running cargo test".to_owned())?;
    let reading = || {
        let (package, test) = (suite.package, suite.test);
        format!("the suite left no report: run `cargo test -p {package} --test {test}` to see why")
    };
    let text = std::fs::read_to_string(&path).doing(reading)?;
    let report: Value = serde_json::from_str(&text).doing(reading)?;
    Ok((path, report["totals"]["checks"].as_u64().unwrap_or_default(), status.success()))
}
