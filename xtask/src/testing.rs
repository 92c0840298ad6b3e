//! `cargo xtask test`: the test command of the project.
//!
//! Starts the brokers that tests need, runs `cargo test` over the workspace, doc tests included and
//! with `broker-tests` turned on wherever a member has it, ends what it started, and ends itself
//! with one line of totals. Nothing is skipped quietly: ignored tests are
//! counted in that line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use clap::Args;
use serde::Deserialize;

use crate::brokers::place::Place;
use crate::brokers::state::{Extras, State};
use crate::brokers::table::{self, Broker};
use crate::brokers::{self, urls};
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, Metadata, cargo};

/// The feature behind which tests stand that need a broker.
pub(crate) const BROKER_TESTS: &str = "broker-tests";

/// Names the Python interpreter that has the package which a member asks for.
const PYTHON: &str = "PONTOON_PYTHON";

/// What `cargo xtask test` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Leave out the tests that need a broker.
    #[arg(long)]
    no_brokers: bool,
    /// Passed on to `cargo test`, such as `-p pontoon-core` or a test's name.
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

/// What members say about the brokers of their tests, in `[package.metadata.pontoon]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Needs {
    /// Names of brokers that must be up.
    brokers: Vec<String>,
    /// Names of brokers that must be installed; the tests start them by themselves.
    installed: Vec<String>,
    /// A Python package that the tests' other programs need, with its version.
    python: Option<String>,
    /// Whether the tests handle processes, which takes root on Linux.
    native: bool,
    /// Whether TLS must be on.
    tls: bool,
    /// Whether the user with few rights must be there.
    users: bool,
}

/// A member with broker tests.
pub(crate) struct Member<'a> {
    pub(crate) name: &'a str,
    needs: Needs,
}

impl Member<'_> {
    /// Only this one of its brokers is needed.
    pub(crate) fn only(&mut self, broker: &str) {
        self.needs.brokers.retain(|name| name == broker);
    }
}

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run at all, or a broker does not get healthy.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let metadata = workspace::metadata(false)?;
    let chosen = packages(&options.rest);
    let members = if options.no_brokers { Vec::new() } else { members(&metadata, &chosen)? };
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]);
    if chosen.is_empty() {
        command.arg("--workspace");
    }
    if !members.is_empty() {
        let features: Vec<_> = members.iter().map(|member| format!("{}/{BROKER_TESTS}", member.name)).collect();
        command.arg("--features").arg(features.join(","));
    }
    command.args(&options.rest);
    let place = Place::find()?;
    let started = start_brokers(&place, &members, &mut command)?;
    let outcome = count(command);
    // Those that were up before stay up, and what had data keeps it.
    let ended = started.end(&place);
    let (totals, status) = outcome?;
    ended?;
    if options.no_brokers {
        println!("not run: tests that need a broker (--no-brokers)");
    }
    // A build error or a crashed test binary fails without a result line of its own.
    if !status.success() && totals.failed == 0 {
        eprintln!("cargo test failed ({status}) beside the tests counted: see above");
    }
    println!("{}", totals.line());
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The members with broker tests that can run here; others are named.
pub(crate) fn members<'a>(metadata: &'a Metadata, chosen: &[&str]) -> Outcome<Vec<Member<'a>>> {
    let mut members = Vec::new();
    for package in metadata.members() {
        let asked = chosen.is_empty() || chosen.contains(&package.name.as_str());
        if !asked || !package.features.contains_key(BROKER_TESTS) {
            continue;
        }
        let needs = match package.metadata.get("pontoon") {
            Some(own) => Needs::deserialize(own).doing(|| format!("[package.metadata.pontoon] of {}", package.name))?,
            None => Needs::default(),
        };
        if needs.native && !brokers::native_works() {
            println!("not run: broker tests of {}, which handle processes: they take root on Linux", package.name);
            continue;
        }
        members.push(Member { name: &package.name, needs });
    }
    Ok(members)
}

/// The packages named in arguments for `cargo test`.
fn packages(rest: &[String]) -> Vec<&str> {
    let mut names = Vec::new();
    let mut words = rest.iter().map(String::as_str).take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "-p" || word == "--package" {
            names.extend(words.next());
        } else if let Some(name) = word.strip_prefix("--package=") {
            names.push(name);
        }
    }
    names
}

/// Brokers that were started for the tests.
#[derive(Default)]
pub(crate) struct Started {
    /// These had data before, or ports of their own.
    known: Vec<&'static Broker>,
    /// Of these nothing was there.
    fresh: Vec<&'static Broker>,
}

impl Started {
    /// Ends them; those that were up before stay up, and what had data keeps it.
    pub(crate) fn end(&self, place: &Place) -> Outcome<()> {
        brokers::take_down(place, &self.known, false)?;
        brokers::take_down(place, &self.fresh, true)
    }
}

/// Starts what the tests of `members` need and is not up, and tells the tests where it is.
pub(crate) fn start_brokers(place: &Place, members: &[Member<'_>], command: &mut Command) -> Outcome<Started> {
    let mut needed = Vec::new();
    let mut installed = Vec::new();
    let mut extras = Extras::default();
    for Member { name, needs } in members {
        extras = extras.and(Extras { tls: needs.tls, users: needs.users });
        if let Some(requirement) = &needs.python {
            command.env(PYTHON, brokers::python(place, requirement)?);
        }
        add(name, &needs.brokers, &mut needed)?;
        add(name, &needs.installed, &mut installed)?;
    }
    brokers::install(place, &installed)?;
    if needed.is_empty() {
        return Ok(Started::default());
    }
    let mut started = Started::default();
    for broker in brokers::not_up(place, &needed)? {
        let fresh = State::read(place, broker)?.is_none();
        if fresh { &mut started.fresh } else { &mut started.known }.push(broker);
    }
    brokers::bring_up(place, &needed, extras, false)?;
    for broker in &needed {
        if let Some(state) = State::read(place, broker)? {
            command.envs(urls::of(place, broker, &state));
        }
    }
    Ok(started)
}

/// Adds the brokers of `names` to those `known`.
fn add(package: &str, names: &[String], known: &mut Vec<&'static Broker>) -> Outcome<()> {
    for name in names {
        let broker = table::find(name)
            .ok_or_else(|| Problem::new(format!("[package.metadata.pontoon] of {package}: no broker `{name}`")))?;
        if !known.iter().any(|other| other.name == broker.name) {
            known.push(broker);
        }
    }
    Ok(())
}

/// Runs `cargo test`, shows its output and adds its results up.
fn count(mut command: Command) -> Outcome<(Totals, ExitStatus)> {
    let mut child = command.stdout(Stdio::piped()).spawn().doing(|| "running cargo test".to_owned())?;
    let Some(stdout) = child.stdout.take() else {
        return Err(Problem::new("cargo test has no output"));
    };
    let mut totals = Totals::default();
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = line.doing(|| "reading the output of cargo test".to_owned())?;
        // Tests may print anything; a reader that went away is no reason to stop the tests.
        let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
        totals.add(&String::from_utf8_lossy(&line));
    }
    let status = child.wait().doing(|| "waiting for cargo test".to_owned())?;
    Ok((totals, status))
}
