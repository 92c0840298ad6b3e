//! All checks as tests: `cargo test` lists, filters and runs them side by side.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::checks;
use crate::harness::{Harness, Profile};
use crate::mutants;
use crate::report::{Declared, Entry, Report, Verdict, explain, html, junit};

use super::storms::Ordeal;
use super::{Expected, Plan, STORM, declared, run, storms};
use crate::{crash, storm};

/// Runs every check against its mutant, as a test binary: one test for each check and profile, which passes when the check
/// fails by one of the anomalies its mutant names. `only` chooses checks by name; empty means all.
///
/// This is how the author of a transport sees that the suite would notice.
pub fn prove(harness: impl Harness, only: &[&str]) -> ExitCode {
    prove_except(harness, only, &[])
}

/// As [`prove`], but for these checks, each with the reason why its mutant cannot be seen for certain on this transport. They
/// are shown as ignored.
pub fn prove_except(harness: impl Harness, only: &[&str], except: &[(&'static str, &'static str)]) -> ExitCode {
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
            if let Some((_, why)) = except.iter().find(|(name, _)| *name == check.name) {
                let why = *why;
                trials.push(Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why))));
                continue;
            }
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

/// The variable that chooses profiles.
const PROFILES: &str = "PONTOON_CONFORMANCE_PROFILES";

/// How many checks run side by side in real time, unless the command line says otherwise.
const TASKS: usize = 12;

/// What all tests of one run share.
struct Session {
    harness: Arc<dyn Harness>,
    profiles: Vec<Profile>,
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
/// `PONTOON_STORM=short` runs a [storm] over each profile, and [kills processes](crash), instead of the checks;
/// `PONTOON_STORM=100,500` a storm of so many kills and cuts; `PONTOON_CONFORMANCE_PROFILES=redis-7.0,redis-8.0` runs only profiles whose names begin so;
/// `PONTOON_CONFORMANCE_ACCEPT=1` writes the outcomes found as the expected ones.
pub fn main(harness: impl Harness, expected: impl AsRef<Path>) -> ExitCode {
    crash::play_if_asked(&harness);
    let mut arguments = Arguments::from_args();
    let path = expected.as_ref();
    let session = match Session::begin(Arc::new(harness), path) {
        Ok(session) => Arc::new(session),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    if session.storm.is_some() {
        // A storm has the machine, and the broker, for itself.
        arguments.test_threads = Some(1);
    } else if !session.harness.timings().paused {
        // Checks in real time wait most of the time.
        arguments.test_threads.get_or_insert(TASKS);
    }
    let conclusion = libtest_mimic::run(&arguments, trials(&session));
    let entries = std::mem::take(&mut *lock(&session.entries));
    if let Err(error) = write(&session, path, &arguments, entries) {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

/// The profiles that are wanted: all, or those whose names begin as `PONTOON_CONFORMANCE_PROFILES` says.
fn wanted(harness: &dyn Harness) -> Result<Vec<Profile>, String> {
    let all = harness.profiles();
    let Ok(text) = std::env::var(PROFILES) else { return Ok(all) };
    let begins = |profile: &Profile| text.split(',').any(|begin| profile.name.starts_with(begin.trim()));
    let names: Vec<String> = all.iter().map(|profile| profile.name.clone()).collect();
    let wanted: Vec<Profile> = all.into_iter().filter(begins).collect();
    if wanted.is_empty() {
        return Err(format!("{PROFILES}={text} means no profile: there are {}", names.join(", ")));
    }
    Ok(wanted)
}

fn trials(session: &Arc<Session>) -> Vec<Trial> {
    if let Some(plan) = &session.storm {
        let both = |profile| storms::ORDEALS.map(|ordeal| ordeal_of(session, ordeal, profile, plan));
        return session.profiles.iter().flat_map(both).collect();
    }
    let mut trials = Vec::new();
    let all = session.harness.profiles();
    let names =
        all.iter().flat_map(|profile| checks::all().into_iter().map(|check| (profile.name.clone(), check.name)));
    let known: Vec<(String, String)> = names.map(|(profile, check)| (profile, check.to_owned())).collect();
    for profile in session.profiles.clone() {
        for check in checks::all() {
            let (session, profile) = (session.clone(), profile.clone());
            let name = format!("{}::{}", profile.name, check.name);
            trials.push(Trial::ignorable_test(name, move || {
                let mut entry = run(&session.harness, &profile, check, &Plan::of(session.seed));
                let completion = session.complete(&mut entry, check.failure);
                lock(&session.entries).push(entry);
                completion
            }));
        }
        let session = session.clone();
        let name = format!("{}::declares what is pinned", profile.name);
        trials.push(Trial::test(name, move || {
            let declared = declared(&session.harness, &profile, session.seed)?;
            lock(&session.declares).insert(profile.name.clone(), declared.clone());
            match session.expected.declares_otherwise(&profile.name, &declared) {
                Some(words) if !session.accept && !session.expected.is_empty() => Err(words.into()),
                _ => Ok(()),
            }
        }));
    }
    let session = session.clone();
    trials.push(Trial::test("every line of expected.toml has its check", move || {
        if session.expected.is_empty() && !session.accept {
            return Err(session.expected.nothing_pinned().into());
        }
        match session.expected.unanswered(&known) {
            lines if lines.is_empty() || session.accept => Ok(()),
            lines => Err(lines.join("\n").into()),
        }
    }));
    trials
}

fn ordeal_of(session: &Arc<Session>, ordeal: Ordeal, profile: &Profile, plan: &storm::Plan) -> Trial {
    let (session, profile, plan) = (session.clone(), profile.clone(), plan.clone());
    Trial::ignorable_test(format!("{}::{}", profile.name, ordeal.name()), move || {
        let mut entry = ordeal.over(&session.harness, &profile, &plan, session.seed);
        let ended = session.weathered(&mut entry, ordeal.failure());
        lock(&session.entries).push(entry);
        ended
    })
}

impl Session {
    fn begin(harness: Arc<dyn Harness>, path: &Path) -> Result<Self, String> {
        Ok(Session {
            profiles: wanted(&*harness)?,
            harness,
            expected: Expected::read(path).map_err(|error| error.to_string())?,
            accept: std::env::var_os("PONTOON_CONFORMANCE_ACCEPT").is_some(),
            seed: seed(),
            entries: Mutex::default(),
            declares: Mutex::default(),
            storm: storms::asked()?,
        })
    }

    /// A storm is not pinned: it passes, or it says how to draw the same schedule again.
    fn weathered(&self, entry: &mut Entry, failure: &str) -> Result<Completion, Failed> {
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
            Verdict::Failed => Err(explain(entry, failure, &repeat).into()),
            Verdict::Indeterminate => {
                Err(format!("it could not be judged: {}\nTo draw it again: {repeat}", entry.reason).into())
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
        if !self.accept && !self.expected.is_empty() && (known || problems.is_empty()) {
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
    let all = session.storm.is_none() && session.profiles.len() == session.harness.profiles().len();
    let partial = !all || arguments.filter.is_some() || !arguments.skip.is_empty() || arguments.list;
    if session.accept && !partial {
        Expected::accept(path, &entries, &lock(&session.declares)).map_err(|error| error.to_string())?;
    }
    let profiles = session.profiles.iter().map(|profile| profile.name.clone()).collect();
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
