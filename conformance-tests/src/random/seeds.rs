//! Which schedules a test runs.

use std::ops::Range;

/// The variable that says how many schedules a test runs, or which: `50`, or `1000..1050`.
pub const SEEDS: &str = "PONTOON_SEEDS";
/// The variable that names the one schedule to run.
pub const SEED: &str = "PONTOON_SEED";

/// The numbers to run: the one that `PONTOON_SEED` names; else those that `PONTOON_SEEDS` says, or as many as given, from
/// 0.
///
/// # Panics
/// When a variable is set and is no number, or holds no number at all: running something else instead would hide the
/// mistake.
#[must_use]
pub fn seeds(count: u64) -> Range<u64> {
    let text = |name: &str| std::env::var(name).ok();
    match (text(SEED), text(SEEDS)) {
        (Some(seed), _) => {
            let seed = number(&seed).unwrap_or_else(|| panic!("{SEED}={seed} is no number; give one, as in {SEED}=17"));
            seed..seed + 1
        }
        (None, Some(seeds)) => range(&seeds).unwrap_or_else(|| {
            panic!("{SEEDS}={seeds} says nothing; give a number or a range, as in {SEEDS}=50 or {SEEDS}=1000..1050")
        }),
        (None, None) => 0..count,
    }
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn range(text: &str) -> Option<Range<u64>> {
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => 0..number(text)?,
    };
    Some(range).filter(|range| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_number_or_a_range_and_nothing_else() {
        assert_eq!(range("50"), Some(0..50));
        assert_eq!(range("7..9"), Some(7..9));
        for text in ["", "x", "0", "9..7", "7..7", "7..", "-1"] {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
