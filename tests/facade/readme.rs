//! The README shows the program of the crate's front page, which is a doc test: what it shows compiles and runs.

const README: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
const FRONT_PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs"));

#[test]
fn the_program_of_the_readme_is_that_of_the_front_page() {
    let (_, rest) = README.split_once("```rust\n").unwrap();
    let (program, _) = rest.split_once("```").unwrap();
    let program: Vec<&str> = program.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(program.len() >= 15);
    let (_, rest) = FRONT_PAGE.split_once("//! ```\n").unwrap();
    let (page, _) = rest.split_once("//! ```").unwrap();
    let shown = page
        .lines()
        .map(|line| line.strip_prefix("//! ").unwrap_or_default())
        .filter(|line| !line.starts_with("# ") && !line.trim().is_empty());
    assert_eq!(program, shown.collect::<Vec<_>>());
}

#[test]
fn the_support_table_names_the_schemes_that_connect() {
    // The table may claim no other transport than those there are.
    let there = ["memory://", "amqp://", "redis://"];
    let rows: Vec<&str> = README.lines().filter(|line| line.contains("://`") && line.starts_with('|')).collect();
    assert_eq!(rows.len(), 5);
    for row in rows {
        assert_eq!(there.iter().any(|scheme| row.contains(scheme)), !row.ends_with("| not yet |"), "{row}");
    }
}
