//! The tasks of the project, behind `cargo xtask`.
//!
//! Each task has a file of its own; this one is the command line.

pub mod bench;
pub mod brokers;
pub mod campaign;
pub mod conformance;
pub mod features;
pub mod instructions;
pub mod licences;
mod machine;
pub mod new_transport;
pub mod report;
pub mod testing;
pub mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The command line of `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Tasks of the project")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Run every test of the workspace, doc tests included, and end with one line of totals.
    Test(testing::Options),
    /// Measure the library against hand-written programs.
    Bench(bench::Options),
    /// Start, stop and hurt real brokers.
    Brokers(brokers::Options),
    /// Run what takes long: schedules with many seeds, a soak, fuzzed inputs, mutants, storms of hundreds of kills and cuts.
    Campaign(campaign::Options),
    /// Run the conformance suite on each transport, with one line of totals and a report.
    Conformance(conformance::Options),
    /// Check each package alone, without features and with each of its own.
    Features,
    /// Count the instructions of a message and compare them with the limits in benches/limits.toml.
    Instructions(instructions::Options),
    /// Check the licence of every dependency, list duplicates, prove that defaults stay light.
    Licences,
    /// Begin a transport: one that compiles, runs, and fails its checks with instructions.
    NewTransport(new_transport::Options),
}

/// Runs the task named on the command line.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match Cli::parse().task {
        Task::Test(options) => testing::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Brokers(options) => brokers::run(&options),
        Task::Campaign(options) => campaign::run(&options),
        Task::Conformance(options) => conformance::run(&options),
        Task::Features => features::run(),
        Task::Instructions(options) => instructions::run(&options),
        Task::Licences => licences::run(),
        Task::NewTransport(options) => new_transport::run(&options),
    };
    match outcome {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
