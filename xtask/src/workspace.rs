//! What cargo says about this workspace.

use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::report::{Doing, Outcome, Problem};

/// The part of `cargo metadata` that the tasks read.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package: the members, and with dependencies everything in the lock file.
    pub packages: Vec<Package>,
    /// Ids of the members.
    pub workspace_members: Vec<String>,
    /// The root of the checkout.
    pub workspace_root: PathBuf,
    /// Where cargo builds.
    pub target_directory: PathBuf,
}

/// One package of `cargo metadata`.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Cargo's id of the package.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence expression.
    pub license: Option<String>,
    /// Where it comes from; nothing for a path.
    pub source: Option<String>,
    /// Its features.
    pub features: BTreeMap<String, Vec<String>>,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// `[package.metadata]`.
    pub metadata: Value,
}

/// Asks `cargo metadata`, with every dependency or the members alone.
///
/// # Errors
/// When cargo cannot be run or refuses the workspace.
pub fn metadata(dependencies: bool) -> Outcome<Metadata> {
    let mut command = cargo();
    command.args(["metadata", "--format-version", "1", "--quiet"]);
    if !dependencies {
        command.arg("--no-deps");
    }
    let output = command.output().doing(|| "running cargo metadata".to_owned())?;
    if !output.status.success() {
        return Err(Problem::new(format!(
            "cargo metadata refused the workspace: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    serde_json::from_slice(&output.stdout).doing(|| "reading cargo metadata".to_owned())
}

/// The cargo that runs this task, so a toolchain chosen with `+name` stays chosen.
#[must_use]
pub fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Metadata {
    /// The packages of the workspace itself.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}
