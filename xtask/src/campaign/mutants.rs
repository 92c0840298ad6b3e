//! Mutants of the engine and of the checker: each must be noticed by a test, or its survival explained.
//!
//! They are judged in a copy of the checkout, a few at a time, those of the engine first by its unit tests, which are
//! quick to build; what these miss is judged by the tests of the memory transport. What was judged is kept, so a campaign
//! that ran out of time goes on where it ended.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::bounded::bounded;
use super::subjects::{Judge, SUBJECTS, Subject};
use super::survivors::{self, Survivors, without_place};
use super::tree::{copy, files};
use super::verdicts::{Verdict, Verdicts, fingerprint};
use super::{Ground, Part};
use crate::brokers::place;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::cargo;

/// How many are judged by one run of cargo-mutants.
const AT_ONCE: usize = 10;
/// How long the tests of one mutant may take; without a mutant they take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Schedules of each random test: few find nearly all.
const SEEDS: &str = "50";

pub(super) fn run(ground: &Ground, time: Duration, globs: &[String]) -> Outcome<Part> {
    let mut part = Part::new("Mutants of the engine and of the checker");
    if !cargo().args(["mutants", "--version"]).output().is_ok_and(|output| output.status.success()) {
        part.leave_out("mutants: cargo-mutants is missing: run `cargo install --locked cargo-mutants` first");
        return Ok(part);
    }
    let explained = ground.root.join(survivors::FILE);
    let explained = std::fs::read_to_string(&explained).doing(|| format!("reading {}", explained.display()))?;
    let explained = Survivors::parse(&explained)?;
    let files = files(&ground.root)?;
    copy(&ground.root, &files, &ground.folder.join("tree"))?;
    part.well = true;
    let mut left = time;
    for (index, subject) in SUBJECTS.iter().enumerate() {
        let own: Vec<&String> = globs.iter().filter(|glob| glob.starts_with(subject.root)).collect();
        if own.is_empty() {
            continue;
        }
        // Those after it get their part of what is left.
        let later = SUBJECTS[index + 1..].iter().filter(|later| globs.iter().any(|glob| glob.starts_with(later.root)));
        let share = left / (1 + later.count() as u32);
        let used = judge_all(ground, subject, &files, share, &own, &explained, &mut part)?;
        left = left.saturating_sub(used);
    }
    match globs.iter().find(|glob| !SUBJECTS.iter().any(|subject| glob.starts_with(subject.root))) {
        Some(glob) => Err(Problem::new(format!("no mutants in {glob}: globs are from the checkout's root"))),
        None => Ok(part),
    }
}

/// Judges what is open of one subject while there is time; how much of it that took.
fn judge_all(
    ground: &Ground,
    subject: &'static Subject,
    files: &[PathBuf],
    time: Duration,
    globs: &[&String],
    explained: &Survivors,
    part: &mut Part,
) -> Outcome<Duration> {
    let is_source = |file: &&PathBuf| subject.sources.iter().any(|source| file.starts_with(source));
    let sources: Vec<PathBuf> = files.iter().filter(is_source).cloned().collect();
    let known = ground.folder.join(subject.kept);
    let mut verdicts = Verdicts::kept(&known, fingerprint(&ground.root, &sources)?);
    let mut bench = Bench { tree: ground.folder.join("tree"), ground, subject, until: Instant::now() };
    let all = bench.list(globs)?;
    let open: Vec<&String> = all.iter().filter(|name| !verdicts.of.contains_key(*name)).collect();
    println!("{}: {} mutants, {} of them judged before", subject.name, all.len(), all.len() - open.len());
    if !open.is_empty() {
        bench.sound()?;
    }
    // Building is not counted: a busy machine would never get to the mutants.
    let began = Instant::now();
    bench.until = began + time;
    for some in open.chunks(AT_ONCE) {
        let mut fresh = Verdicts::default();
        let mut missed: Vec<&String> = some.to_vec();
        for judge in subject.judges {
            // Only the last judge's verdict counts; none when there was no time for it.
            for name in &missed {
                fresh.of.remove(*name);
            }
            bench.judge(&missed, judge, &mut fresh)?;
            missed.retain(|name| fresh.of.get(*name) == Some(&Verdict::MissedMutant));
            if missed.is_empty() {
                break;
            }
        }
        verdicts.of.append(&mut fresh.of);
        verdicts.keep(&known)?;
        println!("{} of {} judged", all.iter().filter(|name| verdicts.of.contains_key(*name)).count(), all.len());
        if Instant::now() >= bench.until {
            break;
        }
    }
    sum_up(part, subject, &all, &verdicts, explained);
    Ok(began.elapsed())
}

fn sum_up(part: &mut Part, subject: &Subject, all: &[String], verdicts: &Verdicts, explained: &Survivors) {
    let judged: Vec<(&str, Verdict)> =
        all.iter().filter_map(|name| verdicts.of.get(name).map(|verdict| (name.as_str(), *verdict))).collect();
    let survived: Vec<&str> =
        judged.iter().filter(|(_, verdict)| *verdict == Verdict::MissedMutant).map(|(name, _)| *name).collect();
    let unexplained = explained.unexplained(&survived);
    let mut by_file: BTreeMap<&str, [usize; 4]> = BTreeMap::new();
    for (name, verdict) in &judged {
        let counts = by_file.entry(without_place(name).0).or_default();
        counts[*verdict as usize] += 1;
    }
    for (file, [caught, missed, timeout, unviable]) in by_file {
        part.say(format!("{file}: {caught} caught, {timeout} timed out, {unviable} do not compile, {missed} survived"));
    }
    let well = survived.len() - unexplained.len();
    part.say(format!("{}: {well} survived with an explanation in {}", subject.name, survivors::FILE));
    for name in &unexplained {
        part.say(format!("SURVIVED: {name}"));
    }
    if judged.len() < all.len() {
        let open = all.len() - judged.len();
        part.leave_out(format!("{open} of {} mutants of the {}: the time was up", all.len(), subject.name));
    }
    part.well &= unexplained.is_empty() && !judged.is_empty();
}

/// Where mutants are judged.
struct Bench<'a> {
    ground: &'a Ground,
    subject: &'static Subject,
    /// The copy of the checkout.
    tree: PathBuf,
    until: Instant,
}

impl Bench<'_> {
    /// A cargo in the copy, with a place of its own to build.
    fn cargo(&self) -> Command {
        let mut command = cargo();
        command.current_dir(&self.tree).env("CARGO_TARGET_DIR", self.ground.folder.join("build"));
        command.env("PONTOON_SEEDS", SEEDS).env("CARGO_TERM_COLOR", "never");
        command
    }

    fn list(&self, globs: &[&String]) -> Outcome<Vec<String>> {
        let mut command = self.cargo();
        command.args(["mutants", "--list", "--json", "--package", self.subject.package]);
        for glob in globs {
            command.args(["--file", glob]);
        }
        let output = command.output().doing(|| "listing mutants".to_owned())?;
        let mutants = parse(&output.stdout)?;
        if mutants.is_empty() {
            return Err(Problem::new(format!(
                "no mutants in {}: globs are from the checkout's root",
                globs.iter().map(|glob| glob.as_str()).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(mutants)
    }

    /// The tests hold without a mutant; building them here makes each mutant quick.
    fn sound(&self) -> Outcome<()> {
        println!("building and running the tests without a mutant");
        for judge in self.subject.judges {
            let mut command = self.cargo();
            command.args(["test", "--quiet", "--profile", "mutants", "--package", judge.package]).args(judge.targets);
            command.arg("--").args(judge.tests);
            let log = self.ground.folder.join("sound.log");
            let ended = bounded(command, &log, Duration::from_secs(1_800))?;
            if !ended.is_some_and(|status| status.success()) {
                return Err(Problem::new(format!("the tests fail without a mutant: see {}", log.display())));
            }
        }
        Ok(())
    }

    /// Has `names` judged while there is time.
    fn judge(&self, names: &[&String], judge: &Judge, into: &mut Verdicts) -> Outcome<()> {
        let Some(left) = self.until.checked_duration_since(Instant::now()) else { return Ok(()) };
        let output = self.ground.folder.join("mutants");
        place::remove(&output)?;
        place::make(&output)?;
        let mut command = self.cargo();
        command.args(["mutants", "--in-place", "--baseline", "skip", "--profile", "mutants"]);
        command.args(["--timeout", &PATIENCE.as_secs().to_string(), "--build-timeout", "600"]);
        command.args(["--package", self.subject.package, "--test-package", judge.package]);
        command.arg("--output").arg(&output);
        // To each call of cargo, so that nothing else is built.
        command.args(judge.targets.iter().map(|target| format!("--cargo-arg={target}")));
        for name in names {
            // By file too: some mutants match every expression.
            command.args(["--file", without_place(name).0]);
            command.args(["--re", &format!("^{}$", escaped(name))]);
        }
        command.args(["--", "--"]).args(judge.tests);
        let log = self.ground.folder.join("mutants.log");
        let ended = bounded(command, &log, left)?;
        into.add(&output.join("mutants.out/outcomes.json"));
        match ended.map(|status| status.code()) {
            // All caught; some missed; some timed out.
            Some(Some(0 | 2 | 3)) => Ok(()),
            Some(_) => Err(Problem::new(format!("cargo mutants failed: see {}", log.display()))),
            None => {
                // It may have been ended inside a mutant: the copy is made good.
                copy(&self.ground.root, &files(&self.ground.root)?, &self.tree)
            }
        }
    }
}

/// The names in what `cargo mutants --list --json` prints.
///
/// # Errors
/// When it is not such a list.
pub fn parse(list: &[u8]) -> Outcome<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Mutant {
        name: String,
    }
    let mutants: Vec<Mutant> = serde_json::from_slice(list).doing(|| "reading the list of mutants".to_owned())?;
    Ok(mutants.into_iter().map(|mutant| mutant.name).collect())
}

/// The name as a regular expression that matches nothing else.
fn escaped(name: &str) -> String {
    let escape = |c: char| if c.is_ascii_punctuation() { format!("\\{c}") } else { c.to_string() };
    name.chars().map(escape).collect()
}
