//! `cargo xtask features`: each package compiles alone, and with each of its features alone.
//!
//! A package without features is one of them: in the workspace it is built with the features that its neighbours turn on
//! in what they share, and may not compile without.
//!
//! No powerset: features of this project are independent, and a powerset of a dozen would take
//! hours. Check only, no code is generated.

use std::process::ExitCode;

use crate::report::{Doing, Outcome};
use crate::workspace::{self, cargo};

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run at all.
pub fn run() -> Outcome<ExitCode> {
    let metadata = workspace::metadata(false)?;
    let mut failed = Vec::new();
    let mut count = 0_usize;
    for package in metadata.members() {
        let alone = package.features.keys().filter(|name| *name != "default");
        for feature in std::iter::once("").chain(alone.map(String::as_str)) {
            let mut command = cargo();
            command.args(["check", "--quiet", "--no-default-features", "--package"]);
            command.arg(&package.name);
            if !feature.is_empty() {
                command.args(["--features", feature]);
            }
            let shown = if feature.is_empty() { "no feature" } else { feature };
            let name = format!("{} with {shown} alone", package.name);
            let status = command.status().doing(|| format!("checking {name}"))?;
            count += 1;
            println!("{name}: {}", if status.success() { "ok" } else { "FAILED" });
            if !status.success() {
                failed.push(name);
            }
        }
    }
    println!("{count} checked, {} failed", failed.len());
    for name in &failed {
        eprintln!("failed: {name}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
