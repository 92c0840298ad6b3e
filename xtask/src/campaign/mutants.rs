//! Mutants of the engine: each must be noticed by a test, or its survival explained.
//!
//! They are judged in a copy of the checkout, a few at a time, first by the unit tests of the engine, which are quick to
//! build; what these miss is judged by the tests of the memory transport. What was judged is kept, so a campaign that
//! ran out of time goes on where it ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::bounded::bounded;
use super::survivors::{self, Survivors, without_place};
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
/// What the verdicts depend on.
const SOURCES: [&str; 3] = ["core/", "transports/memory/", "Cargo.lock"];

/// Who judges: a package, and what goes to `cargo test`.
type Judge = (&'static str, &'static [&'static str]);
const FIRST: Judge = ("pontoon-core", &["--lib"]);
const SECOND: Judge = ("pontoon-memory", &["--tests"]);

pub(super) fn run(ground: &Ground, time: Duration, globs: &[String]) -> Outcome<Part> {
    let mut part = Part::new("Mutants of the engine");
    if !cargo().args(["mutants", "--version"]).output().is_ok_and(|output| output.status.success()) {
        part.leave_out("mutants: cargo-mutants is missing: run `cargo install --locked cargo-mutants` first");
        return Ok(part);
    }
    let explained = ground.root.join(survivors::FILE);
    let explained = std::fs::read_to_string(&explained).doing(|| format!("reading {}", explained.display()))?;
    let explained = Survivors::parse(&explained)?;
    let files = files(&ground.root)?;
    let sources: Vec<PathBuf> =
        files.iter().filter(|file| SOURCES.iter().any(|source| file.starts_with(source))).cloned().collect();
    let known = ground.folder.join("mutants.json");
    let mut verdicts = Verdicts::kept(&known, fingerprint(&ground.root, &sources)?);
    let mut bench = Bench { tree: ground.folder.join("tree"), ground, until: Instant::now() };
    copy(&ground.root, &files, &bench.tree)?;
    let all = bench.list(globs)?;
    let open: Vec<&String> = all.iter().filter(|name| !verdicts.of.contains_key(*name)).collect();
    println!("{} mutants, {} of them judged before", all.len(), all.len() - open.len());
    if !open.is_empty() {
        bench.sound()?;
    }
    // Building is not counted: a busy machine would never get to the mutants.
    bench.until = Instant::now() + time;
    for some in open.chunks(AT_ONCE) {
        let mut fresh = Verdicts::default();
        bench.judge(some, FIRST, &mut fresh)?;
        let missed = |name: &&&String| fresh.of.get(**name) == Some(&Verdict::MissedMutant);
        let missed: Vec<&String> = some.iter().filter(missed).copied().collect();
        if !missed.is_empty() {
            // Only the second judge's verdict counts for these; none when there was no time for it.
            for name in &missed {
                fresh.of.remove(*name);
            }
            bench.judge(&missed, SECOND, &mut fresh)?;
        }
        verdicts.of.append(&mut fresh.of);
        verdicts.keep(&known)?;
        println!("{} of {} judged", all.iter().filter(|name| verdicts.of.contains_key(*name)).count(), all.len());
        if Instant::now() >= bench.until {
            break;
        }
    }
    sum_up(&mut part, &all, &verdicts, &explained);
    Ok(part)
}

fn sum_up(part: &mut Part, all: &[String], verdicts: &Verdicts, explained: &Survivors) {
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
    part.say(format!("{} survived with an explanation in {}", survived.len() - unexplained.len(), survivors::FILE));
    for name in &unexplained {
        part.say(format!("SURVIVED: {name}"));
    }
    if judged.len() < all.len() {
        part.leave_out(format!("{} of {} mutants: the time was up", all.len() - judged.len(), all.len()));
    }
    part.well = unexplained.is_empty() && !judged.is_empty();
}

/// Where mutants are judged.
struct Bench<'a> {
    ground: &'a Ground,
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

    fn list(&self, globs: &[String]) -> Outcome<Vec<String>> {
        let mut command = self.cargo();
        command.args(["mutants", "--list", "--json", "--package", "pontoon-core"]);
        for glob in globs {
            command.args(["--file", glob]);
        }
        let output = command.output().doing(|| "listing mutants".to_owned())?;
        let mutants = parse(&output.stdout)?;
        if mutants.is_empty() {
            return Err(Problem::new(format!(
                "no mutants in {}: globs are from the checkout's root",
                globs.join(", ")
            )));
        }
        Ok(mutants)
    }

    /// The tests hold without a mutant; building them here makes each mutant quick.
    fn sound(&self) -> Outcome<()> {
        println!("building and running the tests without a mutant");
        for (package, words) in [FIRST, SECOND] {
            let mut command = self.cargo();
            command.args(["test", "--quiet", "--profile", "mutants", "--package", package]).args(words);
            let log = self.ground.folder.join("sound.log");
            let ended = bounded(command, &log, Duration::from_secs(1_800))?;
            if !ended.is_some_and(|status| status.success()) {
                return Err(Problem::new(format!("the tests fail without a mutant: see {}", log.display())));
            }
        }
        Ok(())
    }

    /// Has `names` judged while there is time.
    fn judge(&self, names: &[&String], (package, words): Judge, into: &mut Verdicts) -> Outcome<()> {
        let Some(left) = self.until.checked_duration_since(Instant::now()) else { return Ok(()) };
        let output = self.ground.folder.join("mutants");
        place::remove(&output)?;
        place::make(&output)?;
        let mut command = self.cargo();
        command.args(["mutants", "--in-place", "--baseline", "skip", "--profile", "mutants"]);
        command.args(["--timeout", &PATIENCE.as_secs().to_string(), "--build-timeout", "600"]);
        command.args(["--package", "pontoon-core", "--test-package", package, "--output"]).arg(&output);
        for name in names {
            // By file too: some mutants match every expression.
            command.args(["--file", without_place(name).0]);
            command.args(["--re", &format!("^{}$", escaped(name))]);
        }
        command.arg("--").args(words);
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

/// What git knows of the checkout, and what is new in it.
fn files(root: &Path) -> Outcome<Vec<PathBuf>> {
    let words = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = Command::new("git").args(words).current_dir(root).output().doing(|| "running git".to_owned())?;
    let names = String::from_utf8_lossy(&output.stdout);
    let files: Vec<PathBuf> = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
    let mut files: Vec<PathBuf> = files.into_iter().filter(|file| root.join(file).is_file()).collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::new("git lists no files here: mutants need a checkout"));
    }
    Ok(files)
}

/// Makes `to` the same as the checkout, without touching what is so already: cargo goes by times.
fn copy(root: &Path, files: &[PathBuf], to: &Path) -> Outcome<()> {
    for file in files {
        let (from, to) = (root.join(file), to.join(file));
        let content = std::fs::read(&from).doing(|| format!("reading {}", from.display()))?;
        if std::fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        if let Some(folder) = to.parent() {
            place::make(folder)?;
        }
        std::fs::write(&to, content).doing(|| format!("writing {}", to.display()))?;
    }
    let known: std::collections::BTreeSet<&PathBuf> = files.iter().collect();
    gone(to, to, &|file| known.contains(&file.to_path_buf()))
}

/// Removes from the copy what the checkout no longer has.
fn gone(root: &Path, folder: &Path, known: &dyn Fn(&Path) -> bool) -> Outcome<()> {
    for entry in std::fs::read_dir(folder).doing(|| format!("reading {}", folder.display()))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            gone(root, &path, known)?;
        } else if path.strip_prefix(root).is_ok_and(|file| !known(file)) {
            std::fs::remove_file(&path).doing(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}
