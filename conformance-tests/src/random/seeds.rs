//! Which schedules a test runs.

/// The variable that says how many schedules a test runs.
pub const SEEDS: &str = "PONTOON_SEEDS";
/// The variable that names the one schedule to run.
pub const SEED: &str = "PONTOON_SEED";

/// The numbers to run: the one that `PONTOON_SEED` names; else as many as `PONTOON_SEEDS` says, or as given, from 0.
///
/// # Panics
/// When a variable is set and is no number: running something else instead would hide the mistake.
#[must_use]
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is no number; give one, as in {name}=17")))
    };
    match number(SEED) {
        Some(seed) => seed..seed + 1,
        None => 0..number(SEEDS).unwrap_or(count),
    }
}
