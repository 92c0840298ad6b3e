//! Fuzzing on stable Rust: inputs from a committed corpus, changed at random, for whatever reads foreign input.
//!
//! `cargo run -p pontoon-fuzz --release -- --seconds 60` runs every target; `cargo xtask campaign` does so too. An input
//! that makes a target panic is written to a file; put it into `fuzz/corpus/<target>/` with the fix, where the tests
//! run it from then on.
//!
//! There is no coverage to guide by. Instead each target says what kind of answer it gave, and an input that got a new
//! kind of answer joins the pool.

pub mod change;
pub mod corpus;
pub mod hunt;
pub mod targets;
