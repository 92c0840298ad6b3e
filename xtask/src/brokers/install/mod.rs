//! Getting programs onto a machine, each into a folder of its own in the cache.
//!
//! An installation is made beside its place and moved there when complete, so one that was
//! interrupted is recognised and made anew.

mod debian;
mod maven;
mod pypi;
mod python;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::place::{self, Place};
use super::table::{Broker, Source};
use crate::report::{Doing, Outcome, Problem};

pub(super) use python::ensure as python;

/// Written last into an installation.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// What was asked for; another request means another installation.
    request: String,
}

const MARK: &str = "pontoon-installed.json";
const TRIES: u32 = 3;

/// Megabytes an installation may take on the way and at its end.
fn needed(source: &Source) -> u64 {
    match source {
        Source::Debian { .. } => 900,
        Source::Maven { .. } => 250,
        Source::PyPi { .. } => 450,
    }
}

fn request(source: &Source) -> String {
    match source {
        Source::Debian { suite, packages, .. } => format!("{suite}: {}", packages.join(" ")),
        Source::Maven { artifacts } => artifacts.join(" "),
        Source::PyPi { requirement, .. } => (*requirement).to_owned(),
    }
}

/// Whether a broker's installation is complete.
#[must_use]
pub(super) fn complete(place: &Place, broker: &Broker) -> bool {
    let folder = place.installation(broker.installation);
    fs::read_to_string(folder.join(MARK))
        .ok()
        .and_then(|text| serde_json::from_str::<Mark>(&text).ok())
        .is_some_and(|mark| mark.request == request(&broker.source))
        && program(place, broker).is_some()
}

/// The file that must be there for a broker to run.
#[must_use]
pub(super) fn program(place: &Place, broker: &Broker) -> Option<PathBuf> {
    let folder = place.installation(broker.installation);
    let path = match &broker.source {
        Source::Debian { program, .. } => folder.join(program),
        Source::Maven { artifacts } => {
            let mut parts = artifacts.first()?.split(':').skip(1);
            let (name, version) = (parts.next()?, parts.next()?);
            folder.join(format!("libs/{name}-{version}.jar"))
        }
        Source::PyPi { proof, .. } => pypi::find(&folder, proof)?,
    };
    path.exists().then_some(path)
}

/// The version installed, as its package says.
#[must_use]
pub(super) fn version(place: &Place, broker: &Broker) -> String {
    match &broker.source {
        Source::Debian { package, .. } => debian::version(&place.installation(broker.installation), package)
            .unwrap_or_else(|| broker.version.to_owned()),
        Source::Maven { .. } | Source::PyPi { .. } => broker.version.to_owned(),
    }
}

/// Installs what `brokers` need and is not there, several at a time.
///
/// # Errors
/// When something cannot be installed, with what to do.
pub(super) fn ensure(place: &Place, brokers: &[&'static Broker], tls: bool) -> Outcome<()> {
    let mut missing: Vec<&'static Broker> = Vec::new();
    for broker in brokers {
        let known = missing.iter().any(|other| other.installation == broker.installation);
        if !known && !complete(place, broker) {
            missing.push(broker);
        }
    }
    tools::ensure(brokers, &missing, tls)?;
    if missing.is_empty() {
        return Ok(());
    }
    for broker in &missing {
        println!(
            "{}: not installed; installing {} into {}",
            broker.name,
            request(&broker.source),
            place.installation(broker.installation).display()
        );
    }
    let room = missing.iter().map(|broker| needed(&broker.source)).sum();
    place::room(&place.cache, room, "installing")?;
    let results: Vec<Outcome<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = missing.iter().map(|broker| scope.spawn(move || one(place, broker))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(Problem::new("installing panicked"))))
            .collect()
    });
    let problems: Vec<String> =
        results.into_iter().filter_map(|result| result.err().map(|problem| problem.to_string())).collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Problem::new(problems.join("\nerror: ")))
}

fn one(place: &Place, broker: &Broker) -> Outcome<()> {
    let name = broker.installation;
    // Another checkout may be installing the same thing.
    let _lock = place::lock(&place.cache, name)?;
    if complete(place, broker) {
        return Ok(());
    }
    let began = Instant::now();
    let folder = place.installation(name);
    let partial = place.cache.join(format!("{name}.partial"));
    for half in [&folder, &partial] {
        if half.exists() {
            println!("{name}: a half-finished installation is there: making it anew ({})", half.display());
            place::remove(half)?;
        }
    }
    place::make(&partial)?;
    let log = place.cache.join(format!("{name}.log"));
    match &broker.source {
        Source::Debian { suite, packages, .. } => debian::install(&partial, suite, packages, &log)?,
        Source::Maven { artifacts } => maven::install(&partial, artifacts, &log)?,
        Source::PyPi { requirement, .. } => pypi::install(&partial, requirement, &log)?,
    }
    let mark = Mark { request: request(&broker.source) };
    let text = serde_json::to_string(&mark).doing(|| format!("marking {name}"))?;
    place::write(&partial.join(MARK), &text)?;
    fs::rename(&partial, &folder).doing(|| format!("moving {name} to its place"))?;
    if !complete(place, broker) {
        return Err(Problem::new(format!(
            "{name} was installed, but {} lacks the server: see {}",
            folder.display(),
            log.display()
        )));
    }
    println!("{name}: installed after {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// Runs an installer, output into `log`, again after a failure: networks stumble.
fn attempt(what: &str, log: &Path, mut command: impl FnMut() -> Command) -> Outcome<()> {
    for number in 1..=TRIES {
        let file = fs::File::create(log).doing(|| format!("opening {}", log.display()))?;
        let both = file.try_clone().doing(|| format!("opening {}", log.display()))?;
        let mut command = command();
        let program = command.get_program().to_string_lossy().into_owned();
        let status = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(both)
            .status()
            .doing(|| format!("running {program} for {what}"))?;
        if status.success() {
            return Ok(());
        }
        if number < TRIES {
            println!("{what}: {program} failed ({status}), trying again ({number} of {TRIES})");
            // A pause between tries, nothing waits for its end but the next try.
            std::thread::sleep(Duration::from_secs(u64::from(number) * 2));
        }
    }
    Err(Problem::new(format!(
        "installing {what} failed {TRIES} times; the last lines of {}:\n{}\nIs the network \
         reachable, and the package archive? Then run the same command again",
        log.display(),
        tail(log, 8)
    )))
}

/// The last lines of a file, indented.
#[must_use]
pub(super) fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all.iter().skip(all.len().saturating_sub(lines)).map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// Removes every installation that no other checkout uses.
///
/// # Errors
/// When a folder cannot be removed.
pub(super) fn purge(place: &Place) -> Outcome<()> {
    let others = super::ports::other_owners(place);
    if !others.is_empty() {
        println!("installations stay in {}: {} uses them", place.cache.display(), others.join(", "));
        return Ok(());
    }
    if place::busy(&place.cache) {
        println!("installations stay in {}: another command is at work there", place.cache.display());
        return Ok(());
    }
    place::remove(&place.cache)?;
    println!("installations removed from {}", place.cache.display());
    Ok(())
}
