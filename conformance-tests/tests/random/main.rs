//! Random schedules on the memory transport, in paused time.
//!
//! `PONTOON_SEEDS` says how many, `PONTOON_SEED=n` repeats one.
#![allow(clippy::unwrap_used)]

mod memory;
mod planted;
mod sound;

/// Repeats one schedule.
const COMMAND: &str = "cargo test -p pontoon-conformance --test random";
