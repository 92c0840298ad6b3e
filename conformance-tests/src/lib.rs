//! Proves of a transport what the contract promises.
#![doc = include_str!("../README.md")]

pub mod checker;
pub mod checks;
pub mod crash;
pub mod harness;
pub mod history;
pub mod mutants;
pub mod proxy;
pub mod random;
pub mod report;
pub mod run;
pub mod scene;
pub mod storm;
pub mod tap;

pub use run::{main, prove, prove_except};

/// The page of the guide on writing a transport, as doc tests: a sample that does not compile fails the test command.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/transports.md")]
mod guide {}
