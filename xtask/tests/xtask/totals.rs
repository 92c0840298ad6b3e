//! The last line of `cargo xtask test`.

use xtask::testing::Totals;

#[test]
fn result_lines_add_up() {
    let mut totals = Totals::default();
    for line in [
        "running 3 tests",
        "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.12s",
        "   Doc-tests pontoon",
        "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        "a test printed: test result: ok. 9 passed; 0 failed",
    ] {
        totals.add(line);
    }
    assert_eq!(totals, Totals { passed: 14, failed: 3, ignored: 1 });
    assert_eq!(totals.line(), "14 passed, 3 failed, 1 ignored");
}

#[test]
fn without_ignored_tests_the_line_has_two_numbers() {
    let totals = Totals { passed: 7, failed: 0, ignored: 0 };
    assert_eq!(totals.line(), "7 passed, 0 failed");
}
