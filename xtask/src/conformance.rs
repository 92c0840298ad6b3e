//! `cargo xtask conformance`: the suite of conformance tests on each transport, with one line of totals and a report.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::brokers::place::{self, Place};
use crate::report::{Doing, Outcome, Problem};
use crate::testing;
use crate::workspace::{self, Metadata, cargo};

/// A transport with its conformance test.
struct Suite {
    transport: &'static str,
    package: &'static str,
    test: &'static str,
    /// Its brokers, each with the beginning of the names of its profiles.
    brokers: &'static [(&'static str, &'static str)],
}

const SUITES: [Suite; 5] = [
    Suite { transport: "file", package: "pontoon-example-file", test: "conformance", brokers: &[] },
    Suite { transport: "memory", package: "pontoon-conformance", test: "memory", brokers: &[] },
    Suite { transport: "memory-server", package: "pontoon-conformance", test: "memory_server", brokers: &[] },
    Suite {
        transport: "rabbitmq",
        package: "pontoon-rabbitmq",
        test: "conformance",
        brokers: &[("rabbitmq", "rabbitmq-4.0"), ("rabbitmq-old", "rabbitmq-3.10")],
    },
    Suite {
        transport: "redis",
        package: "pontoon-redis",
        test: "conformance",
        brokers: &[("redis", "redis-8.0"), ("redis-old", "redis-7.0")],
    },
];

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
    /// Run storms too (kills and cuts under load) and random schedules with faults, from the
    /// seed on, in their short form.
    #[arg(long)]
    faults: bool,
    /// Only checks with this in their name, such as `ORD-`, `redis-7.0` or `memory-queue::ACK-FINAL`; `STORM` means storms
    /// alone.
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
    place::make(&metadata.target_directory.join("conformance"))?;
    let mut reports = Vec::new();
    let mut checks = 0;
    let mut well = true;
    for suite in suites {
        println!("{}: seed {}", suite.transport, options.seed);
        // A storm kills brokers that checks would share: first these, then those.
        let runs = match (options.faults, options.check.as_deref()) {
            (_, Some("STORM")) => &[Run::Storms][..],
            (true, _) => &[Run::Checks, Run::Storms],
            (false, _) => &[Run::Checks],
        };
        for run in runs {
            let (path, found, held) = one(suite, *run, options, &metadata)?;
            well &= held;
            checks += found;
            reports.push(path);
        }
    }
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

/// What of a suite is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Checks,
    Storms,
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
    let has = |suite: &Suite| {
        options.broker.as_ref().is_none_or(|broker| suite.brokers.iter().any(|(name, _)| name == broker))
    };
    let named: Vec<&Suite> =
        SUITES.iter().filter(|suite| options.transport == "all" || suite.transport == options.transport).collect();
    let suites: Vec<&Suite> = named.iter().copied().filter(|suite| has(suite)).collect();
    if let (false, true, Some(broker)) = (named.is_empty(), suites.is_empty(), &options.broker) {
        let known: Vec<&str> = named.iter().flat_map(|suite| suite.brokers.iter().map(|(name, _)| *name)).collect();
        return Err(Problem::new(format!(
            "no transport here runs on the broker `{broker}`: choose one of {}, or leave out --broker",
            known.join(", ")
        )));
    }
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

/// One suite, with its brokers: its report, how many checks are in it, and whether everything was as expected.
fn one(suite: &Suite, run: Run, options: &Options, metadata: &Metadata) -> Outcome<(PathBuf, u64, bool)> {
    let name = if run == Run::Storms { format!("{}-storms", suite.transport) } else { suite.transport.to_owned() };
    let path = metadata.target_directory.join("conformance").join(format!("{name}.json"));
    // What an earlier run left must not be taken for this one's.
    if path.exists() {
        std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
    }
    let mut command = cargo();
    command.args(["test", "--quiet", "--package", suite.package, "--test", suite.test]);
    let mut members = testing::members(metadata, &[suite.package])?;
    if let Some(broker) = &options.broker {
        members.iter_mut().for_each(|member| member.only(broker));
        let begins = suite.brokers.iter().filter(|(name, _)| name == broker).map(|(_, begin)| *begin);
        command.env("PONTOON_CONFORMANCE_PROFILES", begins.collect::<Vec<_>>().join(","));
    }
    if !members.is_empty() {
        command.args(["--features", testing::BROKER_TESTS]);
    }
    command.args(["--", "--format", "pretty"]);
    command.env("PONTOON_SEED", options.seed.to_string()).env("PONTOON_CONFORMANCE_REPORT", &path);
    match run {
        Run::Checks => command.args(options.check.as_slice()),
        // Storms kill and start brokers by this program.
        Run::Storms => {
            command.args(["--nocapture"]).env("PONTOON_STORM", &options.storm).env("PONTOON_BROKERS_COMMAND", myself()?)
        }
    };
    let place = Place::find()?;
    let started = testing::start_brokers(&place, &members, &mut command)?;
    let status = command.status().doing(|| "running cargo test".to_owned());
    started.end(&place)?;
    let status = status?;
    let reading = || {
        let (package, test) = (suite.package, suite.test);
        format!("the suite left no report: run `cargo test -p {package} --test {test}` to see why")
    };
    let text = std::fs::read_to_string(&path).doing(reading)?;
    let report: Value = serde_json::from_str(&text).doing(reading)?;
    Ok((path, report["totals"]["checks"].as_u64().unwrap_or_default(), status.success()))
}

fn myself() -> Outcome<PathBuf> {
    std::env::current_exe().doing(|| "finding this program".to_owned())
}
