//! The memory transport keeps what is promised, under every schedule; and a schedule repeats.

use pontoon_conformance::random::{Report, SEED, schedule, seeds};

use super::COMMAND;
use super::memory::{paused, stage};

fn run(seed: u64) -> Report {
    paused(async { schedule(&stage(seed, |transport| transport), seed).await.unwrap() })
}

#[test]
fn a_thousand_schedules() {
    let mut events = 0;
    for seed in seeds(1_000) {
        let report = run(seed);
        assert!(report.verdict.is_passed(), "{report}\nrepeat with: {SEED}={seed} {COMMAND}");
        events += report.history.len();
    }
    println!("{events} events");
}

#[test]
fn a_number_gives_the_same_history_byte_for_byte() {
    for seed in seeds(25) {
        let (first, second) = (run(seed).history.to_text(), run(seed).history.to_text());
        for (line, (one, other)) in first.lines().zip(second.lines()).enumerate() {
            assert_eq!(one, other, "seed {seed}, line {}", line + 1);
        }
        assert_eq!(first.len(), second.len(), "seed {seed}");
    }
}
