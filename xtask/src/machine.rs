//! Programs of the machine that tasks call. Missing ones come from its package manager, where that is apt.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::report::{Doing, Outcome, Problem};

/// A program, and the Debian package that brings it.
pub(crate) struct Tool {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// Whether it is there.
    pub(crate) there: fn() -> bool,
    /// The package.
    pub(crate) package: &'static str,
}

/// Sees to it that `tools` are there, and says so before it installs one.
///
/// # Errors
/// When one is missing and cannot be installed, with what to do.
pub(crate) fn have(mut tools: Vec<Tool>) -> Outcome<()> {
    tools.retain(|tool| !(tool.there)());
    if tools.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = tools.iter().map(|tool| tool.name).collect();
    let mut packages: Vec<_> = tools.iter().map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let install = format!("apt-get install {}", packages.join(" "));
    if !rustix::process::geteuid().is_root() || !on_path("apt-get") {
        return Err(Problem::new(format!(
            "{} missing: install with `{install}` as root, or what does the same here, and run \
             this again",
            names.join(", ")
        )));
    }
    println!("{} missing: running `{install}`", names.join(", "));
    if apt(&packages)? {
        return Ok(());
    }
    println!("that failed: refreshing the package lists and trying again");
    let _ = quiet("apt-get", &["update", "-qq"]);
    if apt(&packages)? && tools.iter().all(|tool| (tool.there)()) {
        return Ok(());
    }
    Err(Problem::new(format!(
        "`{install}` failed: run it by hand to see why (no network, or another package manager at \
         work), then run this again"
    )))
}

fn apt(packages: &[&str]) -> Outcome<bool> {
    let mut words = vec!["install", "-y", "-qq", "--no-install-recommends"];
    words.extend(packages);
    quiet("apt-get", &words)
}

fn quiet(program: &str, words: &[&str]) -> Outcome<bool> {
    Command::new(program)
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map(|status| status.success())
        .doing(|| format!("running {program}"))
}

/// Whether the program runs and ends well.
pub(crate) fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether there is such a program.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file()))
}
