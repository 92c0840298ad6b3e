//! `cargo xtask bench --quick`: the library against the best program by hand, on this machine, now.
//!
//! A transport with a broker has it started, and ended afterwards. Each subject is a process of its own that answers lines of JSON. A round asks every subject for the same work in
//! random order; the hand-written expert takes part twice, and a cell counts only when its two halves agree.

mod broker;
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
    /// RabbitMQ 4.0, a quorum queue.
    Rabbitmq,
    /// Redis 8.0, a stream.
    Redis,
}

/// How a transport is measured.
#[derive(Debug)]
struct Bench {
    name: &'static str,
    /// The broker to start, by its name in the table.
    broker: Option<&'static str>,
    subjects: &'static [(&'static str, &'static str)],
    /// Sizes of a body, and how many make a queue's content: together small enough for every subject's memory, and large
    /// enough that opening a consumer does not count.
    sizes: [(usize, usize); 2],
    /// How many of these the naive loop has for its share: it would take minutes for all of them.
    naive: usize,
}

impl Transport {
    fn bench(self) -> Bench {
        match self {
            Self::Memory => Bench {
                name: "memory",
                broker: None,
                subjects: SUBJECTS,
                sizes: [(100, 100_000), (1024, 30_000)],
                naive: 1,
            },
            Self::Rabbitmq => Bench {
                name: "rabbitmq",
                broker: Some("rabbitmq"),
                subjects: SUBJECTS,
                sizes: [(100, 20_000), (1024, 20_000)],
                naive: 20,
            },
            Self::Redis => Bench {
                name: "redis",
                broker: Some("redis"),
                subjects: REDIS_SUBJECTS,
                sizes: [(100, 200_000), (1024, 60_000)],
                naive: 50,
            },
        }
    }
}

/// Subjects in the order they are shown. The expert stands twice: where it differs from itself, nothing is decided.
const SUBJECTS: &[(&str, &str)] =
    &[("raw-expert", "raw-expert"), ("raw-expert again", "raw-expert"), ("raw-naive", NAIVE), ("pontoon", "pontoon")];
/// What Redis acknowledges stays in its stream: the expert leaves it there, the library does not.
const REDIS_SUBJECTS: &[(&str, &str)] =
    &[SUBJECTS[0], SUBJECTS[1], ("expert, deleting", "raw-expert-deleting"), SUBJECTS[2], SUBJECTS[3]];
const NAIVE: &str = "raw-naive";
const CONTROL: usize = 1;
const MODES: &[&str] = &["publish", "drain"];

/// Rounds of a cell: at least, and at most while the control does not settle.
const ROUNDS: (usize, usize) = (9, 25);
/// How long one subject works in one round.
const WORK: Duration = Duration::from_millis(300);
/// A cell that takes longer is given up as undecided.
const PATIENCE: Duration = Duration::from_secs(120);
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
    /// Whether one message of each subject looked the same at the broker.
    same_bytes: bool,
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
    let bench = options.transport.bench();
    let place = Place::find()?;
    let program = build(&bench)?;
    // Two benchmarks at once measure each other.
    let _lock = place::lock(&place.cache, "bench")?;
    let running = broker::start(&place, bench.broker)?;
    let results = measure_all(&bench, &program, running.url());
    running.end(&place)?;
    let results = results?;
    println!("load before {}, after {}", results.load[0], results.load[1]);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&results).doing(|| "writing results".to_owned())?;
        write(path, &text)?;
    }
    let well = results.same_bytes && results.cells.iter().all(|cell| cell.verified);
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All cells, one after the other.
fn measure_all(bench: &Bench, program: &Path, url: &str) -> Outcome<Results> {
    let before = load();
    let mut subjects = Vec::new();
    for (_, subject) in bench.subjects {
        subjects.push(Subject::start(program, bench.name, subject, url)?);
    }
    let same_bytes = same_bytes(&mut subjects)?;
    println!(
        "{:<18} {:<8} {:>5} {:>12} {:>8}  {:<15} {:>9}  verified",
        "subject", "mode", "size", "msg/s", "ratio", "spread", "CPU µs"
    );
    let mut cells = Vec::new();
    let mut random = Random::new();
    for mode in MODES {
        for (size, count) in &bench.sizes {
            let group = measure(bench, &mut subjects, &mut random, mode, *size, *count)?;
            for cell in &group {
                show(cell);
            }
            cells.extend(group);
        }
    }
    Ok(Results { transport: bench.name, load: [before, load()], same_bytes, cells })
}

/// Whether one message of each subject looks the same at the broker; says so if not.
fn same_bytes(subjects: &mut [Subject]) -> Outcome<bool> {
    let request = Request { mode: "publish", size: 100, count: 1, repeat: 1 };
    let mut first: Option<String> = None;
    let mut same = true;
    for subject in subjects {
        let wire = subject.ask(&request)?.wire;
        let expected = first.get_or_insert_with(|| wire.clone());
        if *expected != wire {
            eprintln!("{} writes `{wire}`, and the expert `{expected}`", subject.name());
            same = false;
        }
    }
    Ok(same)
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|first| !first.is_empty()).unwrap_or("unknown").to_owned()
}

/// Builds the subjects with optimisation.
fn build(bench: &Bench) -> Outcome<PathBuf> {
    println!("building the subjects");
    let words = ["build", "--quiet", "--release", "--package", "pontoon-bench", "--bin", "bench-subject"];
    let mut command = cargo();
    command.args(words);
    if bench.broker.is_some() {
        command.args(["--features", bench.name]);
    }
    let status = command.status().doing(|| "building the subjects".to_owned())?;
    if !status.success() {
        return Err(Problem::new("the subjects do not build: see above"));
    }
    Ok(workspace::metadata(false)?.target_directory.join("release/bench-subject"))
}

/// Measures all subjects in one mode at one size.
fn measure(
    bench: &Bench,
    subjects: &mut [Subject],
    random: &mut Random,
    mode: &str,
    size: usize,
    count: usize,
) -> Outcome<Vec<Cell>> {
    let began = Instant::now();
    let mut verified = vec![true; subjects.len()];
    let counts: Vec<usize> =
        bench.subjects.iter().map(|(_, name)| if *name == NAIVE { count / bench.naive } else { count }).collect();
    // A first turn warms up, and tells how often the work fits into the time of a round.
    let mut repeats = Vec::new();
    for ((subject, verified), count) in subjects.iter_mut().zip(&mut verified).zip(counts.iter().copied()) {
        let answer = subject.ask(&Request { mode, size, count, repeat: 1 })?;
        *verified &= answer.verified(subject.name());
        let fits = WORK.as_secs_f64() / answer.seconds.max(1e-6);
        // Bounded, for a drain takes its untimed publishing with it.
        repeats.push((fits.round() as usize).clamp(1, 40));
    }
    // The two experts do the same work.
    let same = repeats[0].max(repeats[CONTROL]);
    (repeats[0], repeats[CONTROL]) = (same, same);
    let mut takes: Vec<Vec<Take>> = vec![Vec::new(); subjects.len()];
    let mut decided = false;
    let mut rounds = 0;
    while rounds < ROUNDS.0 || (!decided && rounds < ROUNDS.1 && began.elapsed() < PATIENCE) {
        for index in random.order(subjects.len()) {
            let (repeat, count) = (repeats[index], counts[index]);
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
    Ok(bench.subjects.iter().enumerate().map(cell).collect())
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
