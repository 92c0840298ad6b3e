//! Random schedules, each pass with twice as many seeds as the one before.

use std::time::{Duration, Instant};

use super::bounded::bounded;
use super::{Ground, Part};
use crate::report::Outcome;
use crate::workspace::cargo;

/// Seeds of the first pass.
const SEEDS: u64 = 50;
/// The first pass may take this long, whatever the time: on a busy machine something is to be seen too.
const LEAST: Duration = Duration::from_secs(240);

/// Builds the tests.
pub(super) const BUILD: &[&str] =
    &["test", "--quiet", "--package", "pontoon-core", "--package", "pontoon-memory", "--tests", "--no-run"];

pub(super) fn run(ground: &Ground, time: Duration) -> Outcome<Part> {
    let mut part = Part::new("Random schedules");
    let until = Instant::now() + time;
    let log = ground.folder.join("schedules.log");
    let mut seeds = SEEDS;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        let mut command = cargo();
        command.args(&BUILD[..BUILD.len() - 1]).env("PONTOON_SEEDS", seeds.to_string());
        let Some(status) = bounded(command, &log, if seeds == SEEDS { left.max(LEAST) } else { left })? else {
            part.leave_out(format!("schedules with {seeds} seeds: the time was up"));
            break;
        };
        if !status.success() {
            part.well = false;
            part.say(format!("{seeds} seeds: FAILED, see {}", log.display()));
            return Ok(part);
        }
        part.say(format!("{seeds} seeds: held"));
        part.well = true;
        seeds *= 2;
    }
    Ok(part)
}
