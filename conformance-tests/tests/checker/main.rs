//! The checker against histories written by hand: for each anomaly at least one that shows it and one that nearly does.
//!
//! The notation is explained in `notation.rs` and in the crate's README.
#![allow(clippy::unwrap_used)]

mod attempts;
mod content;
mod dead_letters;
mod drain;
mod duplicates;
mod late;
mod leases;
mod log;
mod loss;
mod notation;
mod order;
mod promises;
mod publish;
mod report;
mod scale;
mod timing;
mod visible;
mod words;

use notation::{Fact, fails, passes, rules, undecided};
