//! Programs of the machine that the native way calls; missing ones come from its package manager.

use super::super::table::{Broker, Source};
use crate::machine::{self, Tool, on_path, succeeds};
use crate::report::{Outcome, Problem};

const DEBOOTSTRAP: Tool = Tool { name: "debootstrap", there: || on_path("debootstrap"), package: "debootstrap" };
const OPENSSL: Tool = Tool { name: "openssl", there: || on_path("openssl"), package: "openssl" };
const JAVA: Tool = Tool { name: "java", there: || on_path("java"), package: "default-jre-headless" };
const MAVEN: Tool = Tool { name: "mvn", there: || on_path("mvn"), package: "maven" };
const PYTHON: Tool = Tool {
    name: "python3 with venv",
    there: || succeeds("python3", &["-c", "import venv, ensurepip"]),
    package: "python3-venv",
};

/// Sees to it that Python can make environments.
pub(super) fn ensure_python() -> Outcome<()> {
    machine::have(vec![PYTHON])
}

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
    tools.dedup_by_key(|tool| tool.name);
    machine::have(tools)
}
