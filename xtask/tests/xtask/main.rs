//! Every test of xtask, in one binary.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[cfg(feature = "broker-tests")]
mod brokers;
mod campaign;
mod command;
mod conformance;
mod instructions;
mod licences;
mod new_transport;
mod process;
mod sandbox;
mod stats;
mod table;
mod totals;
