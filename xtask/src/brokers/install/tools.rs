//! Programs of the machine that the native way calls; missing ones come from its package manager.

use std::path::Path;
use std::process::{Command, Stdio};

use super::super::table::{Broker, Source};
use crate::report::{Doing, Outcome, Problem};

/// A program, and the Debian package that brings it.
struct Tool {
    /// What it is called in messages.
    name: &'static str,
    /// Whether it is there.
    there: fn() -> bool,
    /// The package.
    package: &'static str,
}

const DEBOOTSTRAP: Tool = Tool { name: "debootstrap", there: || on_path("debootstrap"), package: "debootstrap" };
const OPENSSL: Tool = Tool { name: "openssl", there: || on_path("openssl"), package: "openssl" };
const JAVA: Tool = Tool { name: "java", there: || on_path("java"), package: "default-jre-headless" };
const MAVEN: Tool = Tool { name: "mvn", there: || on_path("mvn"), package: "maven" };
const PYTHON: Tool = Tool {
    name: "python3 with venv",
    there: || succeeds("python3", &["-c", "import venv, ensurepip"]),
    package: "python3-venv",
};

/// Sees to it that the tools for `brokers` are there: those to run them, and those to install the
/// `missing` ones.
pub(super) fn ensure(brokers: &[&Broker], missing: &[&'static Broker], tls: bool) -> Outcome<()> {
    let mut tools = Vec::new();
    if tls {
        tools.push(OPENSSL);
    }
    let maven = |broker: &&Broker| matches!(broker.source, Source::Maven { .. });
    if brokers.iter().any(maven) {
        tools.push(JAVA);
    }
    for broker in missing {
        tools.push(match broker.source {
            Source::Debian { .. } => DEBOOTSTRAP,
            Source::Maven { .. } => MAVEN,
            Source::PyPi { .. } => PYTHON,
        });
    }
    let folders = |broker: &&Broker| matches!(broker.source, Source::Debian { .. });
    if let Some(broker) = brokers.iter().find(|broker| folders(broker))
        && !rustix::process::geteuid().is_root()
    {
        return Err(Problem::new(format!(
            "{} runs in a Debian folder, which takes root (chroot and mounts): run this as root, or \
             start a container engine, or leave it out",
            broker.name
        )));
    }
    tools.retain(|tool| !(tool.there)());
    tools.dedup_by_key(|tool| tool.name);
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

fn succeeds(program: &str, words: &[&str]) -> bool {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file()))
}
