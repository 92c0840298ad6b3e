//! What `cargo xtask instructions` reads and writes.

use xtask::instructions::{Limits, Verdict, collected, page};

#[test]
fn two_percent_over_a_limit_fails_and_ten_below_asks_for_a_lower_one() {
    assert_eq!(Verdict::of(1_020.0, 1_000.0), Verdict::Within);
    assert_eq!(Verdict::of(1_020.1, 1_000.0), Verdict::Over);
    assert_eq!(Verdict::of(900.0, 1_000.0), Verdict::Within);
    assert_eq!(Verdict::of(899.9, 1_000.0), Verdict::LowerTheLimit);
}

#[test]
fn the_sum_is_read_from_what_callgrind_says() {
    let said = "==9== Events    : Ir\n==9== Collected : 123456\n==9== \n==9== I   refs:      123,456\n";
    assert_eq!(collected(said), Some(123_456));
    assert_eq!(collected("==9== Process terminating with default action of signal 9\n"), None);
}

#[test]
fn the_file_that_is_written_can_be_read() {
    let limits: Limits = toml::from_str(&page("rustc 1, \"quoted\"", &[("single-keyed", 12.34)])).unwrap();
    assert_eq!(limits.counted_with, "rustc 1, \"quoted\"");
    assert_eq!(limits.instructions_per_message["single-keyed"], 12.3);
}

#[test]
fn the_committed_file_has_a_limit_for_each_cell() {
    let text = include_str!("../../../benches/limits.toml");
    let limits: Limits = toml::from_str(text).unwrap();
    let cells: Vec<_> = limits.instructions_per_message.keys().map(String::as_str).collect();
    assert_eq!(cells, ["batch64-keyed", "batch64-unkeyed", "single-keyed", "single-unkeyed"]);
}
