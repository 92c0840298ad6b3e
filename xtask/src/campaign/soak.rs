//! Work without end on the memory transport, with failures: memory must not grow, nothing may be lost.

use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use super::bounded::bounded;
use super::{Ground, Part};
use crate::report::Outcome;

/// A line of the soak's program.
#[derive(Debug, Deserialize)]
struct Line {
    settled: u64,
    rss_kib: u64,
    problem: Option<String>,
}

/// Beside growth by a twentieth, pages that an allocator keeps.
const SLACK_KIB: u64 = 2_048;

/// Whether memory is flat: the greatest value of the last third against that of the middle one. The first third fills
/// what is kept for reuse.
#[must_use]
pub fn flat(rss_kib: &[u64]) -> bool {
    let third = rss_kib.len() / 3;
    let most = |part: &[u64]| part.iter().copied().max().unwrap_or_default();
    let (middle, last) = (most(&rss_kib[third..2 * third]), most(&rss_kib[2 * third..]));
    third > 0 && last <= middle + middle / 20 + SLACK_KIB
}

/// Shorter says nothing about memory.
const LEAST: Duration = Duration::from_secs(6);

/// Builds the soak.
pub(super) const BUILD: &[&str] =
    &["build", "--quiet", "--profile", "test", "--package", "pontoon-bench", "--bin", "bench-soak"];

pub(super) fn run(ground: &Ground, time: Duration) -> Outcome<Part> {
    let mut part = Part::new("Soak");
    let log = ground.folder.join("soak.log");
    let mut command = Command::new(ground.target.join("debug/bench-soak"));
    let time = time.max(LEAST);
    command.args(["--seconds", &time.as_secs().to_string()]);
    // What is under way at the end has a minute of its own.
    let ended = bounded(command, &log, time + Duration::from_secs(120))?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let lines: Vec<Line> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let rss: Vec<u64> = lines.iter().map(|line| line.rss_kib).collect();
    for problem in lines.iter().filter_map(|line| line.problem.as_deref()) {
        part.say(format!("PROBLEM: {problem}"));
    }
    let held = ended.is_some_and(|status| status.success());
    if !held {
        part.say(format!("the soak ended with {ended:?}: see {}", log.display()));
    }
    let (first, last) = (rss.first().copied().unwrap_or_default(), rss.last().copied().unwrap_or_default());
    let settled = lines.last().map_or(0, |line| line.settled);
    let flat = flat(&rss);
    let grown = if flat { "flat" } else { "GROWS" };
    part.say(format!("{settled} messages settled; memory {first} KiB after a second, {last} KiB at the end: {grown}"));
    part.well = held && flat && settled > 0;
    Ok(part)
}
