//! All checks as tests: `cargo test` lists, filters and runs them side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::checks;
use crate::harness::Harness;
use crate::mutants;
use crate::report::{Declared, Entry, Report, Verdict, explain, html, junit};

use super::{Expected, Plan, STORM, declared, run, storms};
use crate::storm;

/// Runs every check against its mutant, as a test binary: one test for each check and profile, which passes when the check
/// fails by one of the anomalies its mutant names. `only` chooses checks by name; empty means all.
///
/// This is how the author of a transport sees that the suite would notice.
pub fn prove(harness: impl Harness, only: &[&str]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !harness.timings().paused {
        arguments.test_threads.get_or_insert(TASKS);
    }
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let mut trials = Vec::new();
    for profile in harness.profiles() {
        for check in checks::all() {
            let Some(mutant) = mutants::of(check.name).filter(|_| only.is_empty() || only.contains(&check.name)) else {
                continue;
            };
            let (harness, profile) = (harness.clone(), profile.clone());
            let name = format!("{}::{} is killed", profile.name, check.name);
            trials.push(Trial::ignorable_test(name, move || {
                let entry = run(&harness, &profile, check, &Plan::of(seed()).with((mutant.make)()));
                match entry.verdict {
                    Verdict::NotApplicable | Verdict::Waiting => {
                        Ok(Completion::ignored_with(format!("{}: {}", entry.verdict, entry.reason)))
                    }
                    _ if mutant.killed(&entry) => Ok(Completion::Completed),
                    _ => Err(format!(
                        "{} survives: {}: expected {:?}, found {}: {}",
                        check.name, mutant.breaks, mutant.anomalies, entry.verdict, entry.reason
                    )
                    .into()),
                }
            }));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The seed of this run: the environment variable `PONTOON_SEED`, or 1.
#[must_use]
pub fn seed() -> u64 {
    std::env::var("PONTOON_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// How many checks run side by side in real time, unless the command line says otherwise.
const TASKS: usize = 12;

/// What all tests of one run share.
struct Session {
    harness: Arc<dyn Harness>,
    expected: Expected,
    accept: bool,
    seed: u64,
    entries: Mutex<Vec<Entry>>,
    declares: Mutex<BTreeMap<String, Declared>>,
    /// The storm that was asked for.
    storm: Option<storm::Plan>,
}

/// Runs the suite as a test binary, which has `harness = false` in its `Cargo.toml`: one test for each check and profile,
/// named `PROFILE::CHECK`. `expected` is the file of pinned outcomes.
///
/// Environment: `PONTOON_SEED` repeats a run; `PONTOON_CONFORMANCE_REPORT` names a file for the report as JSON,
/// `PONTOON_CONFORMANCE_JUNIT` as JUnit XML, `PONTOON_CONFORMANCE_HTML` as a page for a browser;
/// `PONTOON_STORM=short` adds a [storm] over each profile, `PONTOON_STORM=100,500` one of so many kills and cuts;
/// `PONTOON_CONFORMANCE_ACCEPT=1` writes the outcomes found as the expected ones.
pub fn main(harness: impl Harness, expected: impl AsRef<Path>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    if !harness.timings().paused {
        // Checks in real time wait most of the time.
        arguments.test_threads.get_or_insert(TASKS);
    }
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let path = expected.as_ref();
    let expected = match Expected::read(path) {
        Ok(expected) => expected,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let storm = match storms::asked() {
        Ok(storm) => storm,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let accept = std::env::var_os("PONTOON_CONFORMANCE_ACCEPT").is_some();
    let session = Arc::new(Session {
        harness,
        expected,
        accept,
        seed: seed(),
        entries: Mutex::default(),
        declares: Mutex::default(),
        storm,
    });
    let conclusion = libtest_mimic::run(&arguments, trials(&session));
    let entries = std::mem::take(&mut *lock(&session.entries));
    if let Err(error) = write(&session, path, &arguments, entries) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trials(session: &Arc<Session>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut known = Vec::new();
    for profile in session.harness.profiles() {
        for check in checks::all() {
            known.push((profile.name.clone(), check.name.to_owned()));
            let (session, profile) = (session.clone(), profile.clone());
            let name = format!("{}::{}", profile.name, check.name);
            trials.push(Trial::ignorable_test(name, move || {
                let mut entry = run(&session.harness, &profile, check, &Plan::of(session.seed));
                let completion = session.complete(&mut entry, check.failure);
                lock(&session.entries).push(entry);
                completion
            }));
        }
        if let Some(plan) = session.storm.clone() {
            let (session, profile) = (session.clone(), profile.clone());
            trials.push(Trial::ignorable_test(format!("{}::{}", profile.name, storms::NAME), move || {
                let mut entry = storms::weather(&session.harness, &profile, &plan, session.seed);
                let ended = session.weathered(&mut entry);
                lock(&session.entries).push(entry);
                ended
            }));
        }
        let session = session.clone();
        let name = format!("{}::declares what is pinned", profile.name);
        trials.push(Trial::test(name, move || {
            let declared = declared(&session.harness, &profile, session.seed)?;
            lock(&session.declares).insert(profile.name.clone(), declared.clone());
            match session.expected.declares_otherwise(&profile.name, &declared) {
                Some(words) if !session.accept => Err(words.into()),
                _ => Ok(()),
            }
        }));
    }
    let session = session.clone();
    trials.push(Trial::test("every line of expected.toml has its check", move || {
        match session.expected.unanswered(&known) {
            lines if lines.is_empty() || session.accept => Ok(()),
            lines => Err(lines.join("\n").into()),
        }
    }));
    trials
}

impl Session {
    /// A storm is not pinned: it passes, or it says how to draw the same schedule again.
    fn weathered(&self, entry: &mut Entry) -> Result<Completion, Failed> {
        let storm = std::env::var(STORM).unwrap_or_default();
        let repeat = format!("{STORM}={storm} {} -- {}::{}", again(self.seed), entry.profile, entry.name);
        if let Some(shown) = &mut entry.evidence {
            shown.repeat.clone_from(&repeat);
        }
        match entry.verdict {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::NotApplicable | Verdict::Waiting => {
                Ok(Completion::ignored_with(format!("{}: {}", entry.verdict, entry.reason)))
            }
            Verdict::Failed => Err(explain(entry, storms::FAILURE, &repeat).into()),
            Verdict::Indeterminate => {
                Err(format!("the storm could not be judged: {}\nTo draw it again: {repeat}", entry.reason).into())
            }
        }
    }

    fn complete(&self, entry: &mut Entry, failure: &str) -> Result<Completion, Failed> {
        let repeat = format!("{} -- {}::{}", again(self.seed), entry.profile, entry.name);
        if let Some(shown) = &mut entry.evidence {
            shown.repeat.clone_from(&repeat);
        }
        let entry = &*entry;
        let mut problems = Vec::new();
        let Entry { name, profile, reason, .. } = entry;
        match entry.verdict {
            Verdict::Failed => {
                problems.push(explain(entry, failure, &repeat));
            }
            Verdict::Indeterminate => problems.push(format!("{name} on {profile} could not be judged: {reason}")),
            _ => {}
        }
        // Nobody pins a failure that was never expected: it is to be mended.
        let known = self.expected.checks().get(profile).is_some_and(|lines| lines.contains_key(name));
        if !self.accept && (known || problems.is_empty()) {
            problems.extend(self.expected.drift(entry));
        }
        if !problems.is_empty() {
            return Err(problems.join("\n").into());
        }
        Ok(match entry.verdict {
            Verdict::NotApplicable | Verdict::Waiting => {
                Completion::ignored_with(format!("{}: {reason}", entry.verdict))
            }
            _ => Completion::Completed,
        })
    }
}

fn write(session: &Session, path: &Path, arguments: &Arguments, entries: Vec<Entry>) -> Result<(), String> {
    let partial = arguments.filter.is_some() || !arguments.skip.is_empty() || arguments.list;
    if session.accept && !partial {
        Expected::accept(path, &entries, &lock(&session.declares)).map_err(|error| error.to_string())?;
    }
    let profiles = session.harness.profiles().into_iter().map(|profile| profile.name).collect();
    let report = Report::new(session.harness.name(), profiles, session.seed, entries);
    let report = report.declaring(std::mem::take(&mut *lock(&session.declares)));
    let to = |variable: &str, text: &dyn Fn() -> Result<String, String>| -> Result<(), String> {
        let Some(path) = std::env::var_os(variable) else { return Ok(()) };
        std::fs::write(&path, text()?).map_err(|error| format!("{}: {error}", Path::new(&path).display()))
    };
    let json = || serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
    to("PONTOON_CONFORMANCE_REPORT", &json)?;
    to("PONTOON_CONFORMANCE_JUNIT", &|| junit(&report))?;
    to("PONTOON_CONFORMANCE_HTML", &|| Ok(html(&report)))
}

/// The command that runs this test again, as cargo has started it.
fn again(seed: u64) -> String {
    let package = std::env::var("CARGO_PKG_NAME").map_or(String::new(), |name| format!(" -p {name}"));
    let program = std::env::current_exe().unwrap_or_default();
    let stem = program.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    // Cargo puts a hash behind the name of the test.
    let test = stem.rsplit_once('-').map_or(stem, |(test, _)| test);
    format!("PONTOON_SEED={seed} cargo test{package} --test {test}")
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
