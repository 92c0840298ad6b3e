//! A Debian of its own in a folder: nothing of the machine's own packages changes, and no server
//! is started by an installation.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{attempt, place};
use crate::report::{Doing, Outcome};

pub(super) fn install(folder: &Path, suite: &str, packages: &[&str], log: &Path) -> Outcome<()> {
    attempt(&format!("Debian {suite}"), log, || {
        // A failed try leaves a folder that debootstrap cannot go on from.
        let _ = place::remove(folder);
        let mut command = Command::new("unshare");
        // Its mounts vanish with it, whatever ends it.
        command
            .args(["--mount", "--propagation", "private", "debootstrap"])
            .arg("--variant=minbase")
            .arg(format!("--include={}", packages.join(",")))
            .args([suite.as_ref(), folder.as_os_str()]);
        command
    })?;
    // Erlang looks `localhost` up, and debootstrap writes no hosts file.
    fs::write(folder.join("etc/hosts"), "127.0.0.1 localhost\n").doing(|| "writing etc/hosts".to_owned())?;
    // Downloaded packages are of no more use.
    let _ = fs::remove_dir_all(folder.join("var/cache/apt/archives"));
    Ok(())
}

/// The upstream part of a package's version, from the folder's own records.
pub(super) fn version(folder: &Path, package: &str) -> Option<String> {
    let status = fs::read_to_string(folder.join("var/lib/dpkg/status")).ok()?;
    let entry = status.split("\n\n").find(|entry| entry.lines().next() == Some(&format!("Package: {package}")))?;
    let version = entry.lines().find_map(|line| line.strip_prefix("Version: "))?;
    let upstream = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let upstream = upstream.rsplit_once('-').map_or(upstream, |(before, _)| before);
    // `8.1.1+dfsg1` is 8.1.1.
    upstream.split(['+', '~']).next().map(std::borrow::ToOwned::to_owned)
}
