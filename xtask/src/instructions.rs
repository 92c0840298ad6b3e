//! `cargo xtask instructions`: what a message costs, counted in instructions and compared with committed limits.
//!
//! Valgrind counts a run and one twice as long; the slope is what one message costs, and what is done once does not
//! count. Counts differ by well under a percent from run to run, so they tell a change that a clock would not.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Args;
use serde::Deserialize;

use crate::machine::{self, Tool, on_path};
use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

/// What `cargo xtask instructions` takes.
#[derive(Debug, Args)]
pub struct Options {
    /// Write what is measured into the file of limits, instead of comparing.
    #[arg(long)]
    update: bool,
}

/// Where the limits are, from the root of the checkout.
const FILE: &str = "benches/limits.toml";
/// How much more than its limit a cell may take: ten times what two runs differ by.
const MORE: f64 = 0.02;
/// From how much less on a limit says little.
const LESS: f64 = 0.10;
/// Messages of the short run, a multiple of every batch.
const COUNT: u64 = 6_400;

/// The cells: a name, and the arguments of the program.
const CELLS: &[(&str, &[&str])] = &[
    ("single-unkeyed", &["--batch", "1"]),
    ("single-keyed", &["--batch", "1", "--keyed"]),
    ("batch64-unkeyed", &["--batch", "64"]),
    ("batch64-keyed", &["--batch", "64", "--keyed"]),
];

const VALGRIND: Tool = Tool { name: "valgrind", there: || on_path("valgrind"), package: "valgrind" };

/// The file of limits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// What counted them.
    pub counted_with: String,
    /// Instructions per message, by cell.
    pub instructions_per_message: BTreeMap<String, f64>,
}

/// What a measurement says about its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Within it.
    Within,
    /// So far below that the limit should follow.
    LowerTheLimit,
    /// Over it.
    Over,
}

impl Verdict {
    /// Compares.
    #[must_use]
    pub fn of(measured: f64, limit: f64) -> Self {
        if measured > limit * (1.0 + MORE) {
            Self::Over
        } else if measured < limit * (1.0 - LESS) {
            Self::LowerTheLimit
        } else {
            Self::Within
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Within => "ok",
            Self::LowerTheLimit => "ok; lower the limit: cargo xtask instructions --update",
            Self::Over => "OVER THE LIMIT",
        }
    }
}

/// Runs the task.
///
/// # Errors
/// When valgrind cannot be had, a cell does not run, or the limits cannot be read or written.
pub fn run(options: &Options) -> Outcome<ExitCode> {
    machine::have(vec![VALGRIND])
        .map_err(|problem| Problem::new(format!("not run: instructions per message: {problem}")))?;
    let root = workspace::metadata(false)?;
    let file = root.workspace_root.join(FILE);
    let program = build(&root.target_directory)?;
    let with = counted_with()?;
    let mut measured = Vec::new();
    for (cell, words) in CELLS {
        measured.push((*cell, slope(count(&program, words, COUNT)?, count(&program, words, 2 * COUNT)?)));
    }
    if options.update {
        std::fs::write(&file, page(&with, &measured)).doing(|| format!("writing {}", file.display()))?;
        print!("{FILE} now says:\n{}", page(&with, &measured));
        return Ok(ExitCode::SUCCESS);
    }
    let limits = read(&file)?;
    if limits.counted_with != with {
        println!("limits were counted with {}; this is {with}", limits.counted_with);
    }
    println!("{:<16} {:>10} {:>10} {:>8}", "per message", "measured", "limit", "differs");
    let mut well = true;
    for (cell, measured) in measured {
        let limit = limits.instructions_per_message.get(cell);
        let limit = *limit.ok_or_else(|| Problem::new(format!("{FILE} has no limit for {cell}: {HOW}")))?;
        let verdict = Verdict::of(measured, limit);
        well &= verdict != Verdict::Over;
        let differs = (measured / limit - 1.0) * 100.0;
        println!("{cell:<16} {measured:>10.0} {limit:>10.0} {differs:>+7.1}%  {}", verdict.words());
    }
    if !well {
        println!("a limit may be raised only with the reason in the change that does it: {HOW}");
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const HOW: &str = "`cargo xtask instructions --update` writes what is measured";

/// The file's text.
#[must_use]
pub fn page(with: &str, measured: &[(&str, f64)]) -> String {
    let mut page = String::from(
        "# Instructions to publish, receive and acknowledge one message of 100 bytes over the memory transport. Written by\n\
         # `cargo xtask instructions --update`; `cargo xtask instructions` fails above 102 % of a limit.\n",
    );
    let _ = write!(page, "counted_with = {with:?}\n\n[instructions_per_message]\n");
    for (cell, measured) in measured {
        let _ = writeln!(page, "{cell} = {measured:.1}");
    }
    page
}

fn read(file: &Path) -> Outcome<Limits> {
    let text = std::fs::read_to_string(file).doing(|| format!("reading {FILE} ({HOW})"))?;
    toml::from_str(&text).doing(|| format!("reading {FILE} ({HOW})"))
}

fn build(target: &Path) -> Outcome<PathBuf> {
    println!("building the cells with link-time optimisation");
    let words = ["build", "--quiet", "--profile", "instructions", "--package", "pontoon-bench"];
    let bin = ["--bin", "bench-instructions"];
    let status = cargo().args(words).args(bin).status().doing(|| "building the cells".to_owned())?;
    if !status.success() {
        return Err(Problem::new("the cells do not build: see above"));
    }
    Ok(target.join("instructions/bench-instructions"))
}

/// What else the counts depend on.
fn counted_with() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let rustc = first_line(Command::new(rustc).arg("--version"))?;
    let valgrind = first_line(Command::new("valgrind").arg("--version"))?;
    let rustc = rustc.split(" (").next().unwrap_or_default();
    Ok(format!("{rustc}, {valgrind}, {}", std::env::consts::ARCH))
}

fn first_line(command: &mut Command) -> Outcome<String> {
    let output = command.output().doing(|| format!("running {}", command.get_program().display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

/// Instructions of one whole run.
fn count(program: &Path, words: &[&str], count: u64) -> Outcome<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(words)
        .args(["--count", &count.to_string()])
        .output()
        .doing(|| "running valgrind".to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    match collected(&said) {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(Problem::new(format!("valgrind counted nothing ({}):\n{said}", output.status))),
    }
}

/// The sum in what callgrind says at the end: `==7== Collected : 42`.
#[must_use]
pub fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn slope(short: u64, long: u64) -> f64 {
    (long as f64 - short as f64) / COUNT as f64
}
