//! `cargo xtask bench --quick`: the library against the best program by hand, on this machine, now.
//!
//! Each subject is a process of its own that answers lines of JSON. A round asks every subject for the same work in
//! random order; the hand-written expert takes part twice, and a cell counts only when its two halves agree.

pub mod stats;
mod subject;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::stats::{Random, Summary};
use self::subject::{Request, Subject};
use crate::brokers::place::{self, Place};
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

/// What `cargo xtask bench` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// A few minutes for a transport; there is no longer form yet.
    #[arg(long, required = true)]
    quick: bool,
    /// What carries the messages.
    #[arg(long)]
    transport: Transport,
    /// Also write the results here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// A transport with subjects.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Transport {
    /// In one process.
    Memory,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
        }
    }
}

/// Subjects in the order they are shown. The expert stands twice: where it differs from itself, nothing is decided.
const SUBJECTS: &[(&str, &str)] = &[
    ("raw-expert", "raw-expert"),
    ("raw-expert again", "raw-expert"),
    ("raw-naive", "raw-naive"),
    ("pontoon", "pontoon"),
];
const CONTROL: usize = 1;
const MODES: &[&str] = &["publish", "drain"];
/// Sizes of a body, and how many make a queue's content: together small enough for every subject's memory.
const SIZES: &[(usize, usize)] = &[(100, 100_000), (1024, 30_000)];

/// Rounds of a cell: at least, and at most while the control does not settle.
const ROUNDS: (usize, usize) = (9, 25);
/// How long one subject works in one round.
const WORK: Duration = Duration::from_millis(300);
/// A cell that takes longer is given up as undecided.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the interval of the control's ratio must lie in.
const AGREE: (f64, f64) = (0.95, 1.05);

/// One line of the results.
#[derive(Debug, Serialize)]
struct Cell {
    subject: String,
    mode: String,
    size: usize,
    msgs_per_s: f64,
    /// Median over the rounds of this subject's rate to the expert's in the same round.
    ratio_to_expert: f64,
    /// The lowest and the highest of these.
    spread: [f64; 2],
    cpu_us_per_msg: f64,
    /// Every message came out once, in every round.
    verified: bool,
    /// Whether the control agreed with itself.
    decided: bool,
    rounds: usize,
}

/// Everything in the file.
#[derive(Debug, Serialize)]
struct Results {
    transport: &'static str,
    /// Load of the machine before and after, where it tells.
    load: [String; 2],
    cells: Vec<Cell>,
}

/// What one subject took in one round.
#[derive(Debug, Clone, Copy)]
struct Take {
    rate: f64,
    cpu_us: f64,
}

/// Runs the task.
///
/// # Errors
/// When a subject does not build or does not answer.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    debug_assert!(options.quick);
    let name = options.transport.name();
    let place = Place::find()?;
    let program = build()?;
    // Two benchmarks at once measure each other.
    let _lock = place::lock(&place.cache, "bench")?;
    let before = load();
    let mut subjects = Vec::new();
    for (_, subject) in SUBJECTS {
        subjects.push(Subject::start(&program, name, subject)?);
    }
    println!(
        "{:<18} {:<8} {:>5} {:>12} {:>8}  {:<15} {:>9}  verified",
        "subject", "mode", "size", "msg/s", "ratio", "spread", "CPU µs"
    );
    let mut cells = Vec::new();
    let mut random = Random::new();
    for mode in MODES {
        for (size, count) in SIZES {
            let group = measure(&mut subjects, &mut random, mode, *size, *count)?;
            for cell in &group {
                show(cell);
            }
            cells.extend(group);
        }
    }
    let well = cells.iter().all(|cell| cell.verified);
    let results = Results { transport: name, load: [before, load()], cells };
    println!("load before {}, after {}", results.load[0], results.load[1]);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&results).doing(|| "writing results".to_owned())?;
        write(path, &text)?;
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|first| !first.is_empty()).unwrap_or("unknown").to_owned()
}

/// Builds the subjects with optimisation.
fn build() -> Outcome<PathBuf> {
    println!("building the subjects");
    let words = ["build", "--quiet", "--release", "--package", "pontoon-bench", "--bin", "bench-subject"];
    let status = cargo().args(words).status().doing(|| "building the subjects".to_owned())?;
    if !status.success() {
        return Err(Problem::new("the subjects do not build: see above"));
    }
    Ok(workspace::metadata(false)?.target_directory.join("release/bench-subject"))
}

/// Measures all subjects in one mode at one size.
fn measure(subjects: &mut [Subject], random: &mut Random, mode: &str, size: usize, count: usize) -> Outcome<Vec<Cell>> {
    let began = Instant::now();
    let mut verified = vec![true; SUBJECTS.len()];
    // A first turn warms up, and tells how often the work fits into the time of a round.
    let mut repeats = Vec::new();
    for (subject, verified) in subjects.iter_mut().zip(&mut verified) {
        let answer = subject.ask(&Request { mode, size, count, repeat: 1 })?;
        *verified &= answer.verified(subject.name());
        let fits = WORK.as_secs_f64() / answer.seconds.max(1e-6);
        // Bounded, for a drain takes its untimed publishing with it.
        repeats.push((fits.round() as usize).clamp(1, 40));
    }
    // The two experts do the same work.
    let same = repeats[0].max(repeats[CONTROL]);
    (repeats[0], repeats[CONTROL]) = (same, same);
    let mut takes: Vec<Vec<Take>> = vec![Vec::new(); SUBJECTS.len()];
    let mut decided = false;
    let mut rounds = 0;
    while rounds < ROUNDS.0 || (!decided && rounds < ROUNDS.1 && began.elapsed() < PATIENCE) {
        for index in random.order(SUBJECTS.len()) {
            let repeat = repeats[index];
            let answer = subjects[index].ask(&Request { mode, size, count, repeat })?;
            verified[index] &= answer.verified(subjects[index].name());
            let messages = (count * repeat) as f64;
            takes[index].push(Take { rate: messages / answer.seconds, cpu_us: answer.cpu_seconds * 1e6 / messages });
        }
        rounds += 1;
        let (low, high) = stats::interval(&ratios(&takes, CONTROL), random);
        decided = low >= AGREE.0 && high <= AGREE.1;
    }
    let cell = |(index, (label, _)): (usize, &(&str, &str))| {
        let ratio = Summary::of(&ratios(&takes, index));
        let median = |of: fn(&Take) -> f64| Summary::of(&takes[index].iter().map(of).collect::<Vec<_>>()).median;
        Cell {
            subject: (*label).to_owned(),
            mode: mode.to_owned(),
            size,
            msgs_per_s: median(|take| take.rate),
            ratio_to_expert: ratio.median,
            spread: [ratio.low, ratio.high],
            cpu_us_per_msg: median(|take| take.cpu_us),
            verified: verified[index],
            decided,
            rounds,
        }
    };
    Ok(SUBJECTS.iter().enumerate().map(cell).collect())
}

/// This subject's rate to the expert's, round by round.
fn ratios(takes: &[Vec<Take>], index: usize) -> Vec<f64> {
    takes[index].iter().zip(&takes[0]).map(|(own, expert)| own.rate / expert.rate).collect()
}

fn show(cell: &Cell) {
    let spread = format!("{:.2}–{:.2}", cell.spread[0], cell.spread[1]);
    println!(
        "{:<18} {:<8} {:>5} {:>12.0} {:>8.3}  {spread:<15} {:>9.3}  {}{}",
        cell.subject,
        cell.mode,
        cell.size,
        cell.msgs_per_s,
        cell.ratio_to_expert,
        cell.cpu_us_per_msg,
        if cell.verified { "yes" } else { "NO" },
        if cell.decided { "" } else { ", undecided" },
    );
}
