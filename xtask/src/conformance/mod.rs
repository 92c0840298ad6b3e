//! `cargo xtask conformance`: the suite of conformance tests on each transport, with one line of totals and a report.

mod jobs;
mod suites;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::brokers::place::Place;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

use jobs::Jobs;
use suites::chosen;

/// Random schedules in their short form: the transport, the test, and how many.
const SCHEDULES: [(&str, &str, u64); 2] = [("memory", "random", 100), ("memory-server", "random_server", 5)];

/// What `cargo xtask conformance` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Which transport: `file` (the example), `memory`, `memory-server`, `rabbitmq`, `redis`, or `all`.
    #[arg(long, default_value = "all")]
    transport: String,
    /// Which broker, such as `redis-old`; every one of its transport unless given.
    #[arg(long)]
    broker: Option<String>,
    /// Run faults too: storms (kills and cuts under load), processes that are killed at named points, and random schedules
    /// from the seed on, in their short form.
    #[arg(long)]
    faults: bool,
    /// Run only storms, and the processes that are killed.
    #[arg(long, conflicts_with = "faults")]
    faults_alone: bool,
    /// On how many servers at a time these run.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    at_once: u16,
    /// Only checks with this in their name, such as `ORD-`, `redis-7.0` or `memory-queue::ACK-FINAL`; `STORM` means storms
    /// alone, `CRASH` killed processes alone.
    #[arg(long)]
    check: Option<String>,
    /// How hard storms are: `short`, or a number of kills and of cuts such as `100,500`, which takes a quarter of an hour
    /// for each profile.
    #[arg(long, default_value = "short")]
    storm: String,
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
    let metadata = workspace::metadata(false)?;
    let place = Place::find()?;
    let mut jobs = Jobs::built(&suites, options, &metadata, &place)?;
    let faults_alone = options.faults_alone || matches!(options.check.as_deref(), Some("STORM" | "CRASH"));
    // A storm kills brokers that checks would share: first these, then those.
    if !faults_alone {
        jobs.check()?;
    }
    if faults_alone || options.faults {
        jobs.hurt()?;
    }
    let Jobs { reports, checks, mut well, .. } = jobs;
    if checks == 0 {
        return Err(Problem::new(format!(
            "no check is meant by `{}`: see conformance-tests/TABLE.md for their names",
            options.check.as_deref().unwrap_or_default()
        )));
    }
    if options.faults {
        well &= schedules(options)?;
    }
    well &= told(options, &reports)?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs random schedules from the seed on, where the transports are chosen that have some; whether all are well.
fn schedules(options: &Options) -> Outcome<bool> {
    let mut well = true;
    for (transport, test, count) in SCHEDULES {
        if options.transport != "all" && options.transport != transport {
            continue;
        }
        let seeds = format!("{}..{}", options.seed, options.seed.saturating_add(count));
        let words = ["test", "--quiet", "--package", "pontoon-conformance", "--test", test];
        println!("random schedules on {transport}: PONTOON_SEEDS={seeds} cargo {}", words.join(" "));
        let mut command = cargo();
        command.args(words).env("PONTOON_SEEDS", seeds).env_remove("PONTOON_SEED");
        well &= command.status().doing(|| "running cargo test".to_owned())?.success();
    }
    Ok(well)
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
