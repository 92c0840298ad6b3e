//! Suites as programs: built once, run one after another or several at a time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::Options;
use super::suites::{SUITES, Suite};
use crate::brokers::place::{self, Place};
use crate::report::{Doing, Outcome, Problem};
use crate::testing;
use crate::workspace::{Metadata, cargo};

/// A suite on all of its brokers, or on one.
#[derive(Clone, Copy)]
struct Job<'a> {
    built: &'a Built,
    broker: Option<(&'static str, &'static str)>,
    faults: bool,
}

/// A suite, and its program.
struct Built {
    suite: &'static Suite,
    program: PathBuf,
    /// Of its package.
    folder: PathBuf,
}

/// What came of a job: its report, how many checks are in it, whether everything was as expected, and what it said where
/// that was not shown at once.
struct Ran {
    report: PathBuf,
    checks: u64,
    well: bool,
    said: Vec<u8>,
}

/// What is to run, and what came of it so far.
pub(super) struct Jobs<'a> {
    options: &'a Options,
    metadata: &'a Metadata,
    place: &'a Place,
    built: Vec<Built>,
    /// In the order in which they ended.
    pub(super) reports: Vec<PathBuf>,
    pub(super) checks: u64,
    pub(super) well: bool,
}

impl<'a> Jobs<'a> {
    /// Builds the programs of these suites.
    pub(super) fn built(
        suites: &[&'static Suite],
        options: &'a Options,
        metadata: &'a Metadata,
        place: &'a Place,
    ) -> Outcome<Self> {
        place::make(&metadata.target_directory.join("conformance"))?;
        let built = build(suites, metadata)?;
        Ok(Self { options, metadata, place, built, reports: Vec::new(), checks: 0, well: true })
    }

    /// Runs the checks of each suite, one suite after another: they share brokers, and say what they wait for.
    pub(super) fn check(&mut self) -> Outcome<()> {
        let asked = self.options.broker.as_deref();
        for built in &self.built {
            println!("{}: seed {}", built.suite.transport, self.options.seed);
            let broker = built.suite.brokers.iter().copied().find(|(name, _)| Some(*name) == asked);
            let ran = self.run(Job { built, broker, faults: false })?;
            self.reports.push(ran.report);
            self.checks += ran.checks;
            self.well &= ran.well;
        }
        Ok(())
    }

    /// Hurts each server, several at a time: each has its process and its channels for itself.
    pub(super) fn hurt(&mut self) -> Outcome<()> {
        let mut jobs = VecDeque::new();
        for built in &self.built {
            let asked = |name: &str| self.options.broker.as_deref().is_none_or(|broker| broker == name);
            let brokers = built.suite.brokers.iter().copied().filter(|(name, _)| asked(name)).map(Some);
            let none = built.suite.brokers.is_empty().then_some(None);
            jobs.extend(brokers.chain(none).map(|broker| Job { built, broker, faults: true }));
        }
        // What takes longest begins first.
        jobs.make_contiguous().reverse();
        let (waiting, ended) = (Mutex::new(jobs), Mutex::new(Vec::new()));
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        std::thread::scope(|scope| {
            for _ in 0..self.options.at_once {
                scope.spawn(|| {
                    while let Some(job) = next() {
                        let ran = self.run(job);
                        let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                        println!("{}: seed {}", job.name(), self.options.seed);
                        if let Ok(ran) = &ran {
                            print!("{}", String::from_utf8_lossy(&ran.said));
                        }
                        ended.push(ran);
                    }
                });
            }
        });
        for ran in ended.into_inner().unwrap_or_else(PoisonError::into_inner) {
            let ran = ran?;
            self.reports.push(ran.report);
            self.checks += ran.checks;
            self.well &= ran.well;
        }
        Ok(())
    }

    fn run(&self, job: Job<'_>) -> Outcome<Ran> {
        let Job { built: Built { suite, program, folder }, broker, faults } = job;
        let report = self.metadata.target_directory.join("conformance").join(format!("{}.json", job.name()));
        // What an earlier run left must not be taken for this one's.
        if report.exists() {
            std::fs::remove_file(&report).doing(|| format!("removing {}", report.display()))?;
        }
        let mut command = Command::new(program);
        // As cargo starts it.
        command.current_dir(folder).env("CARGO_MANIFEST_DIR", folder).env("CARGO_PKG_NAME", suite.package);
        command.args(["--format", "pretty"]);
        command.env("PONTOON_SEED", self.options.seed.to_string()).env("PONTOON_CONFORMANCE_REPORT", &report);
        let mut members = testing::members(self.metadata, &[suite.package])?;
        if let Some((name, begins)) = broker {
            members.iter_mut().for_each(|member| member.only(name));
            command.env("PONTOON_CONFORMANCE_PROFILES", begins);
        }
        if faults {
            // Brokers are killed and started by this program.
            let program = std::env::current_exe().doing(|| "finding this program".to_owned())?;
            command.arg("--nocapture");
            command.env("PONTOON_STORM", &self.options.storm).env("PONTOON_BROKERS_COMMAND", program);
        }
        command.args(self.options.check.as_slice());
        let started = testing::start_brokers(self.place, &members, &mut command)?;
        let ended = said(command, faults);
        started.end(self.place)?;
        let (well, said) = ended?;
        let reading = || {
            let (name, said) = (job.name(), String::from_utf8_lossy(&said));
            format!("{name} left no report, and this says why: {}{said}", program.display())
        };
        let text = std::fs::read_to_string(&report).doing(reading)?;
        let found: Value = serde_json::from_str(&text).doing(reading)?;
        Ok(Ran { report, checks: found["totals"]["checks"].as_u64().unwrap_or_default(), well, said })
    }
}

impl Job<'_> {
    /// Its name, in reports and on the terminal.
    fn name(&self) -> String {
        let what = if self.faults { "-faults" } else { "" };
        match self.broker {
            Some((broker, _)) => format!("{}-on-{broker}{what}", self.built.suite.transport),
            None => format!("{}{what}", self.built.suite.transport),
        }
    }
}

/// Runs a program; whether it succeeded, and what it said if that is to be kept: several at a time would mix it.
fn said(mut command: Command, kept: bool) -> Outcome<(bool, Vec<u8>)> {
    let running = || "running a suite".to_owned();
    if !kept {
        return Ok((command.status().doing(running)?.success(), Vec::new()));
    }
    let output = command.stdin(Stdio::null()).output().doing(running)?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), said))
}

/// Builds the programs of these suites by one command: of all suites as `cargo xtask test` does, so that nothing is built
/// twice.
fn build(suites: &[&'static Suite], metadata: &Metadata) -> Outcome<Vec<Built>> {
    let all = suites.len() == SUITES.len();
    let packages: Vec<&str> = suites.iter().map(|suite| suite.package).collect();
    let members = testing::members(metadata, if all { &[] } else { &packages })?;
    let mut command = cargo();
    command.args(["test", "--quiet", "--no-run", "--message-format", "json-render-diagnostics"]);
    if all {
        command.arg("--workspace");
    }
    for suite in suites {
        command.args(["--test", suite.test]);
        if !all {
            command.args(["--package", suite.package]);
        }
    }
    if !members.is_empty() {
        let features: Vec<_> =
            members.iter().map(|member| format!("{}/{}", member.name, testing::BROKER_TESTS)).collect();
        command.args(["--features", &features.join(",")]);
    }
    let output = command.stderr(Stdio::inherit()).output().doing(|| "building the suites".to_owned())?;
    if !output.status.success() {
        return Err(Problem::new("the suites do not build: see above"));
    }
    let told: Vec<Value> =
        output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    suites.iter().map(|suite| find(suite, &told, metadata)).collect()
}

/// The program of a suite in what cargo told.
fn find(suite: &'static Suite, told: &[Value], metadata: &Metadata) -> Outcome<Built> {
    let missing = || Problem::new(format!("cargo built no test `{}` of {}", suite.test, suite.package));
    let package = metadata.members().find(|package| package.name == suite.package).ok_or_else(missing)?;
    let program = told.iter().find_map(|message| {
        let is_it = message["package_id"] == package.id.as_str() && message["target"]["name"] == suite.test;
        message["executable"].as_str().filter(|_| is_it)
    });
    let folder = package.manifest_path.parent().map(Path::to_owned).ok_or_else(missing)?;
    Ok(Built { suite, program: program.ok_or_else(missing)?.into(), folder })
}
