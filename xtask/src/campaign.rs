//! `cargo xtask campaign`: what takes long, with progress and a report file.
//!
//! Two parts share the time: the random schedules with ever more seeds, and mutants of the engine, shard by shard.
//! Each campaign begins at another shard, so that many short ones see everything.

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::brokers::place;
use crate::brokers::process::wait;
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

/// What `cargo xtask campaign` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// What carries the messages.
    #[arg(long, default_value = "memory")]
    transport: Transport,
    /// How long, in all.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
}

/// A transport with a campaign.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    /// In one process.
    Memory,
}

/// The engine's mutants are cut into this many parts.
const SHARDS: u64 = 64;
/// Seeds of the first pass of the schedules; each pass has twice as many as the one before.
const SEEDS: u64 = 2_000;
/// A shard that would get less time than this is not begun.
const LEAST: Duration = Duration::from_secs(60);

/// The sums that cargo-mutants writes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Mutants {
    /// Mutants that some test noticed.
    pub caught: u64,
    /// Mutants that no test noticed.
    pub missed: u64,
    /// Mutants that did not end in time, which is noticed too.
    pub timeout: u64,
    /// Mutants that do not compile.
    pub unviable: u64,
}

/// What a campaign saw.
#[derive(Debug, Default)]
pub struct Report {
    /// Passes of the schedules: seeds, and whether all held.
    pub passes: Vec<(u64, bool)>,
    /// Shards of mutants that were run to their end, and their sums.
    pub shards: Vec<(u64, Mutants)>,
    /// Parts that did not run, and why.
    pub left_out: Vec<String>,
    /// Mutants that no test noticed, one a line.
    pub missed: String,
}

impl Report {
    /// Whether everything that ran held; a campaign in which nothing ran does not.
    #[must_use]
    pub fn well(&self) -> bool {
        let ran = !self.passes.is_empty() || !self.shards.is_empty();
        ran && self.passes.iter().all(|(_, held)| *held) && self.shards.iter().all(|(_, sums)| sums.missed == 0)
    }

    /// As a page.
    #[must_use]
    pub fn page(&self, transport: &str) -> String {
        let mut page = format!("# Campaign: {transport}\n\n## Random schedules\n\n");
        for (seeds, held) in &self.passes {
            let _ = writeln!(page, "- {seeds} seeds: {}", if *held { "held" } else { "FAILED, see schedules.log" });
        }
        page.push_str("\n## Mutants of the engine\n\n| Shard | Caught | Missed | Timeout | Do not compile |\n|---|---|---|---|---|\n");
        for (shard, Mutants { caught, missed, timeout, unviable }) in &self.shards {
            let _ = writeln!(page, "| {shard} of {SHARDS} | {caught} | {missed} | {timeout} | {unviable} |");
        }
        if !self.missed.is_empty() {
            let _ = write!(page, "\nMissed:\n\n```text\n{}```\n", self.missed);
        }
        page.push_str("\n## Not run\n\n");
        for part in &self.left_out {
            let _ = writeln!(page, "- {part}");
        }
        page
    }
}

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run or the report cannot be written.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let Transport::Memory = options.transport;
    let folder = workspace::metadata(false)?.target_directory.join("campaign");
    place::make(&folder)?;
    let whole = Duration::from_secs(options.minutes * 60);
    let began = Instant::now();
    let mut report = Report::default();
    schedules(&mut report, &folder, began + whole / 2)?;
    mutants(&mut report, &folder, began + whole)?;
    report.left_out.push("fuzzers and soaks: none are written yet".to_owned());
    let path = folder.join("report.md");
    place::write(&path, &report.page("memory"))?;
    println!("report: {}", path.display());
    Ok(if report.well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn schedules(report: &mut Report, folder: &Path, until: Instant) -> Outcome<()> {
    let mut seeds = SEEDS;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| *left >= LEAST) {
        println!("schedules: {seeds} seeds");
        let mut command = cargo();
        command
            .args(["test", "--quiet", "--package", "pontoon-core", "--package", "pontoon-memory"])
            .env("SEEDS", seeds.to_string())
            .env("PONTOON_SEEDS", seeds.to_string());
        match bounded(command, &folder.join("schedules.log"), left)? {
            Some(status) => report.passes.push((seeds, status.success())),
            None => {
                report.left_out.push(format!("schedules with {seeds} seeds: the time was up"));
                return Ok(());
            }
        }
        if report.passes.last().is_some_and(|(_, held)| !held) {
            return Ok(());
        }
        seeds *= 2;
    }
    Ok(())
}

fn mutants(report: &mut Report, folder: &Path, until: Instant) -> Outcome<()> {
    let there = cargo().args(["mutants", "--version"]).output().is_ok_and(|output| output.status.success());
    if !there {
        report.left_out.push("mutants: run `cargo install --locked cargo-mutants` first".to_owned());
        println!("mutants: cargo-mutants is missing: run `cargo install --locked cargo-mutants` first");
        return Ok(());
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for turn in 0..SHARDS {
        // Another beginning every minute.
        let shard = (now.as_secs() / 60 + turn) % SHARDS;
        let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| *left >= LEAST) else {
            report.left_out.push(format!("mutants: {} of {SHARDS} shards, the time was up", SHARDS - turn));
            return Ok(());
        };
        println!("mutants: shard {shard} of {SHARDS}");
        let output = folder.join("mutants");
        place::remove(&output)?;
        place::make(&output)?;
        let mut command = cargo();
        command
            .args(["mutants", "--package", "pontoon-core", "--file", "core/src/engine/**/*.rs", "--no-shuffle"])
            // The engine's promises are checked through the memory transport too.
            .args(["--test-package", "pontoon-core,pontoon-memory", "--colors", "never"])
            .args(["--shard", &format!("{shard}/{SHARDS}")])
            .arg("--output")
            .arg(&output);
        let ended = bounded(command, &folder.join("mutants.log"), left)?;
        let Some(status) = ended else {
            report.left_out.push(format!("mutants: {} of {SHARDS} shards, the time was up", SHARDS - turn));
            return Ok(());
        };
        let results = output.join("mutants.out");
        // 2 is missed, 3 timed out; anything else but 0 means that nothing was tested.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            report.left_out.push(format!("mutants: cargo-mutants failed ({status}), see mutants.log"));
            return Err(Problem::new(format!(
                "cargo mutants failed ({status}): see {}",
                folder.join("mutants.log").display()
            )));
        }
        report.shards.push((shard, sums(&results.join("outcomes.json"))?));
        report.missed.push_str(&std::fs::read_to_string(results.join("missed.txt")).unwrap_or_default());
    }
    Ok(())
}

fn sums(path: &PathBuf) -> Outcome<Mutants> {
    let reading = || format!("reading {}", path.display());
    let text = std::fs::read_to_string(path).doing(reading)?;
    serde_json::from_str(&text).doing(reading)
}

/// Runs a command, output into `log`, for at most `bound`; nothing when that was not enough.
fn bounded(mut command: Command, log: &Path, bound: Duration) -> Outcome<Option<ExitStatus>> {
    let file = std::fs::File::create(log).doing(|| format!("opening {}", log.display()))?;
    let both = file.try_clone().doing(|| format!("opening {}", log.display()))?;
    let mut child = command
        // A group of its own, so that the tests that cargo runs can be ended with it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(both)
        .spawn()
        .doing(|| "running cargo".to_owned())?;
    let mut ended = None;
    wait(bound, || {
        ended = child.try_wait().ok().flatten();
        ended.is_some()
    });
    if ended.is_none() {
        if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::INT);
            if !wait(Duration::from_secs(20), || child.try_wait().is_ok_and(|ended| ended.is_some())) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        }
        let _ = child.wait();
    }
    Ok(ended)
}
