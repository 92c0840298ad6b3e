//! Random inputs for whatever reads foreign input; see `fuzz/`.

use std::process::Command;
use std::time::Duration;

use super::bounded::bounded;
use super::{Ground, Part};
use crate::report::Outcome;

/// Builds the fuzzers.
pub(super) const BUILD: &[&str] = &["build", "--quiet", "--profile", "test", "--package", "pontoon-fuzz"];

pub(super) fn run(ground: &Ground, time: Duration) -> Outcome<Part> {
    let mut part = Part::new("Fuzzed inputs");
    let log = ground.folder.join("fuzz.log");
    let mut command = Command::new(ground.target.join("debug/pontoon-fuzz"));
    command.args(["--seconds", &time.as_secs().max(1).to_string()]);
    command.arg("--found").arg(ground.folder.join("fuzz"));
    // A hunt looks at the clock after each input; one that hangs in an input is as bad as a panic.
    let ended = bounded(command, &log, time + Duration::from_secs(60))?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    for line in said.lines().filter(|line| line.contains(" inputs, ") || line.contains("PANICKED")) {
        part.say(line);
    }
    part.well = ended.is_some_and(|status| status.success());
    if !part.well {
        let how = if ended.is_none() { "an input hangs" } else { "a target failed" };
        part.say(format!("{how}: see {}", log.display()));
    }
    Ok(part)
}
