//! `cargo xtask campaign`: what takes long, with progress and a report file.
//!
//! On the memory transport four parts share the time: random schedules with ever more seeds, a soak that watches memory,
//! fuzzed inputs, and mutants of the engine and of the checker. Mutants that were judged are remembered, so that many short
//! campaigns see everything. On a server there are storms in their long form.

mod bounded;
mod fuzz;
mod mutants;
mod report;
mod schedules;
mod soak;
mod storms;
mod subjects;
pub mod survivors;
mod tree;
mod verdicts;

pub use mutants::parse as parse_mutants;
pub use report::{Part, Report};
pub use soak::flat;
pub use storms::stories;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::brokers::place;
use crate::report::{Outcome, Problem};
use crate::workspace;

/// What `cargo xtask campaign` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// What carries the messages.
    #[arg(long, default_value = "memory")]
    transport: Transport,
    /// How long, in all; building what is run, without a mutant, is not counted.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// A form of half a minute without mutants, as continuous integration runs it; instead of --minutes.
    #[arg(long, conflicts_with = "minutes")]
    short: bool,
    /// Only these parts, instead of all.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// How many kills and cuts, such as `10,50`, instead of as many as the transport's campaign has.
    #[arg(long)]
    storm: Option<String>,
    /// Repeats the schedules of storms.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also write the report to docs/campaign, for it to be committed.
    #[arg(long)]
    record: bool,
    /// Mutants of these files alone, as globs from the root of the checkout.
    #[arg(long, default_values = ["core/src/engine/**/*.rs", "conformance-tests/src/checker/**/*.rs"])]
    file: Vec<String>,
}

/// A transport with a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// In one process.
    Memory,
    /// The memory model as a process.
    MemoryServer,
    /// Every RabbitMQ that is tested.
    Rabbitmq,
    /// Every Redis that is tested.
    Redis,
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Transport::Memory => "memory",
            Transport::MemoryServer => "memory-server",
            Transport::Rabbitmq => "rabbitmq",
            Transport::Redis => "redis",
        })
    }
}

/// A part of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Random schedules, with ever more seeds.
    Schedules,
    /// Work without end: memory must not grow.
    Soak,
    /// Random inputs for whatever reads foreign input.
    Fuzz,
    /// Mutants of the engine and of the checker: each must be noticed by a test.
    Mutants,
    /// Kills and cuts under load, and processes that are killed.
    Storms,
}

/// What there is of a transport.
fn kinds_of(transport: Transport) -> &'static [Kind] {
    match storms::strength(transport) {
        Some(_) => &[Kind::Storms],
        None => &[Kind::Schedules, Kind::Soak, Kind::Fuzz, Kind::Mutants],
    }
}

/// How long the parts of the short form take together.
const SHORT: Duration = Duration::from_secs(30);

/// How long storms in their short form may take on all servers of a transport, which are built first.
const SHORT_STORMS: Duration = Duration::from_secs(20 * 60);

/// What each part gets at least.
const LEAST: Duration = Duration::from_secs(5);

/// What the parts know.
struct Ground {
    /// The root of the checkout.
    root: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
    /// Where logs, the report and what is remembered are.
    folder: PathBuf,
}

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run or the report cannot be written.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    let transport = options.transport;
    let known = kinds_of(transport);
    let workspace = workspace::metadata(false)?;
    let folder = workspace.target_directory.join("campaign");
    place::make(&folder)?;
    let ground = Ground { root: workspace.workspace_root, target: workspace.target_directory, folder };
    let mut kinds: Vec<Kind> = if options.only.is_empty() { known.to_vec() } else { options.only.clone() };
    if let Some(kind) = kinds.iter().find(|kind| !known.contains(kind)) {
        return Err(Problem::new(format!("{transport} has no {kind:?}: there are {known:?}")));
    }
    if options.short {
        kinds.retain(|kind| *kind != Kind::Mutants);
    }
    if kinds.is_empty() {
        return Err(Problem::new("the short form has no mutants: leave --short out, and give --minutes"));
    }
    let whole = match (options.short, storms::strength(transport)) {
        (true, None) => SHORT,
        (true, Some(_)) => SHORT_STORMS,
        (false, _) => Duration::from_secs(options.minutes * 60),
    };
    let mut report = Report::default();
    let mut left = whole;
    for (index, kind) in kinds.iter().enumerate() {
        // Mutants need the most, and come last: they get what is left.
        let shares = if kinds.contains(&Kind::Mutants) { 2 } else { 1 } * (kinds.len() - index);
        let share = if index + 1 == kinds.len() { left } else { left / u32::try_from(shares).unwrap_or(1) };
        // What ran over leaves something to the others.
        let share = share.max(LEAST);
        match kind {
            Kind::Schedules => bounded::build("the schedules", schedules::BUILD)?,
            Kind::Soak => bounded::build("the soak", soak::BUILD)?,
            Kind::Fuzz => bounded::build("the fuzzers", fuzz::BUILD)?,
            // These build by themselves.
            Kind::Mutants | Kind::Storms => {}
        }
        println!("== {kind:?}: {} s", share.as_secs());
        let began = Instant::now();
        let part = match kind {
            Kind::Schedules => schedules::run(&ground, share)?,
            Kind::Soak => soak::run(&ground, share)?,
            Kind::Fuzz => fuzz::run(&ground, share)?,
            Kind::Mutants => mutants::run(&ground, share, &options.file)?,
            Kind::Storms => storms::run(&ground, transport, &storm(options), options.seed, whole)?,
        };
        left = left.saturating_sub(began.elapsed());
        println!("{kind:?}: {}", if part.well { "held" } else { "FAILED" });
        report.parts.push(part);
    }
    for kind in known.iter().filter(|kind| !kinds.contains(kind)) {
        report.left_out.push(format!("{kind:?}"));
    }
    let page = report.page(&transport.to_string());
    let mut paths = vec![ground.folder.join(format!("{transport}.md"))];
    if options.record {
        paths.push(ground.root.join(format!("docs/campaign/{transport}.md")));
    }
    for path in paths {
        place::write(&path, &page)?;
        println!("report: {}", path.display());
    }
    Ok(if report.well() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How hard storms are: as was asked for, else the short form, else the long form.
fn storm(options: &Options) -> String {
    let long = || if options.short { "short" } else { storms::strength(options.transport).unwrap_or("short") };
    options.storm.clone().unwrap_or_else(|| long().to_owned())
}
