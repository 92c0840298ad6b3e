//! A Python package in an environment of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::attempt;
use crate::report::Outcome;

pub(super) fn install(folder: &Path, requirement: &str, log: &Path) -> Outcome<()> {
    attempt("a Python environment", log, || {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(folder);
        command
    })?;
    attempt(requirement, log, || {
        let mut command = Command::new(folder.join("bin/python"));
        command.args(["-m", "pip", "install", "--disable-pip-version-check"]).args(["--no-cache-dir", requirement]);
        command
    })
}

/// The first file below `folder` that `pattern` describes, `*` standing for one name.
pub(super) fn find(folder: &Path, pattern: &str) -> Option<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for part in pattern.split('/') {
        found = found
            .iter()
            .flat_map(|path| match part {
                "*" => fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
                name => vec![path.join(name)],
            })
            .filter(|path| path.exists())
            .collect();
    }
    found.into_iter().next()
}
