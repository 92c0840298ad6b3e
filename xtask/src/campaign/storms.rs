//! Storms in their long form: hundreds of kills and cuts under load, on each server of a transport, and processes that are
//! killed at named points.

use std::process::Command;
use std::time::Duration;

use super::bounded::bounded;
use super::{Ground, Part, Transport};
use crate::report::{Doing, Outcome};

/// How many kills and cuts; `None` for what cannot be hurt.
pub(super) fn strength(transport: Transport) -> Option<&'static str> {
    match transport {
        Transport::Memory => None,
        Transport::MemoryServer | Transport::Rabbitmq | Transport::Redis => Some("100,500"),
    }
}

pub(super) fn run(ground: &Ground, transport: Transport, storm: &str, seed: u64, time: Duration) -> Outcome<Part> {
    let mut part = Part::new("Storms, and processes killed at named points");
    let log = ground.folder.join(format!("storms-{transport}.log"));
    let words = ["conformance", "--faults-alone", "--transport", &transport.to_string(), "--storm", storm, "--seed"];
    let mut command = Command::new(std::env::current_exe().doing(|| "finding this program".to_owned())?);
    command.args(words).arg(seed.to_string());
    part.say(format!("`cargo xtask {} {seed}`, commit {}", words.join(" "), commit(ground)));
    let ended = bounded(command, &log, time)?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let stories = stories(&said);
    part.well = ended.is_some_and(|status| status.success()) && !stories.is_empty();
    stories.into_iter().for_each(|story| part.say(story));
    if ended.is_none() {
        let seconds = time.as_secs();
        part.leave_out(format!(
            "the rest of the storms: {seconds} s were up; brokers may be: `cargo xtask brokers down`"
        ));
    } else if !part.well {
        part.say(format!("not all held: see {}", log.display()));
    }
    Ok(part)
}

/// Which sources these are.
fn commit(ground: &Ground) -> String {
    let output = Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(&ground.root).output();
    let known = output.ok().filter(|output| output.status.success());
    known.map_or_else(|| "unknown".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What each storm, and each series of killed processes, said of itself: a line each.
#[must_use]
pub fn stories(said: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut within = false;
    for line in said.lines() {
        // A test's own line may end where a story begins.
        let begins = line.find("storm over ").or_else(|| line.find("crash points over "));
        match (begins, line.strip_prefix("  ")) {
            (Some(at), _) => {
                all.push(line[at..].to_owned());
                within = true;
            }
            (None, Some(more)) if within => {
                if let Some(story) = all.last_mut() {
                    story.push_str("; ");
                    story.push_str(more);
                }
            }
            _ => within = false,
        }
    }
    all
}
