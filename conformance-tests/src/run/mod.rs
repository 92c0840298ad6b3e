//! Running checks: one check on one profile, or all of them as tests that `cargo test` knows how to filter.

mod expected;
mod one;
mod select;
mod storms;
mod trials;

pub use expected::{Expected, ExpectedError, Table};
use one::declared;
pub use one::{Plan, run};
pub use select::why_not;
pub use storms::STORM;
pub use trials::{main, prove, prove_except, seed};
