//! One node of a broker as the native way sees it: its folder, its ports, and how to launch it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::install;
use super::place::{self, Place};
use super::state::Extras;
use super::table::{Broker, Source, offset};
use super::tls;
use crate::report::{Doing, Outcome, Problem};

/// Where a node's folder stands for a program that runs in a Debian folder.
const INSIDE: &str = "/srv";

/// One node.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The folders of the checkout.
    pub place: &'a Place,
    /// Its row in the table.
    pub broker: &'static Broker,
    /// Its options.
    pub extras: Extras,
    /// First ports of all nodes.
    pub ports: &'a [u16],
    /// Which node this is, from 1.
    pub number: u16,
}

/// A command line with what it needs around it.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// Environment added to this one's.
    pub env: Vec<(OsString, OsString)>,
}

/// How to run a node: what to do before its first start, and the server itself.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Runs to its end, once, before there is data.
    pub first: Option<Launch>,
    /// Runs beside the nodes, one for all of them, and answers on the port: name, command, port.
    pub helper: Option<(&'static str, Launch, u16)>,
    /// The server.
    pub server: Launch,
}

impl Node<'_> {
    /// Everything of this node is below.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.place.broker(self.broker.name).join(self.number.to_string())
    }

    /// What the server writes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder().join("server.log")
    }

    /// One of its ports, by [`offset`].
    #[must_use]
    pub fn port(&self, offset: u16) -> u16 {
        self.ports.get(usize::from(self.number) - 1).map_or(0, |base| base + offset)
    }

    /// The port that clients use and that is asked for health.
    #[must_use]
    pub fn plain(&self) -> u16 {
        self.port(offset::PLAIN)
    }

    /// All nodes of this node's broker.
    pub fn all(&self) -> impl Iterator<Item = Self> + '_ {
        (1..=self.broker.nodes).map(|number| Self { number, ..*self })
    }

    /// This node's folder as its server sees it.
    #[must_use]
    pub fn seen(&self) -> String {
        if self.debian().is_some() { INSIDE.to_owned() } else { self.folder().display().to_string() }
    }

    /// The Debian folder its server runs in, if it does.
    #[must_use]
    pub fn debian(&self) -> Option<PathBuf> {
        matches!(self.broker.source, Source::Debian { .. }).then(|| self.place.installation(self.broker.installation))
    }

    /// A file of this node, as its server sees it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Outcome<String> {
        place::write(&self.folder().join(name), text)?;
        Ok(format!("{}/{name}", self.seen()))
    }

    /// The node's data folder, as its server sees it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn data(&self) -> Outcome<String> {
        place::make(&self.folder().join("data"))?;
        Ok(format!("{}/data", self.seen()))
    }

    /// Copies certificates to where the server can see them; their folder as it sees it.
    ///
    /// # Errors
    /// When they cannot be copied.
    pub fn certificates(&self) -> Outcome<String> {
        let to = self.folder().join("tls");
        place::make(&to)?;
        for file in tls::FILES {
            let from = tls::folder(self.place).join(file);
            std::fs::copy(&from, to.join(file)).doing(|| format!("copying {}", from.display()))?;
        }
        Ok(format!("{}/tls", self.seen()))
    }

    /// A command of the installation: in its Debian folder, with nothing but `env` around it, or
    /// on this machine.
    ///
    /// Every wrapper executes the next in place, so the process started is the broker itself.
    #[must_use]
    pub fn launch(&self, words: &[&str], env: &[(&str, String)]) -> Launch {
        let Some(root) = self.debian() else {
            return Launch {
                words: words.iter().map(OsString::from).collect(),
                env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            };
        };
        let mut all: Vec<OsString> =
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec"].iter().map(OsString::from).collect();
        // The mounts are the process's own and end with it.
        all.push(
            "mount -t proc proc \"$1/proc\"; mount --bind /dev \"$1/dev\"; \
             mount --bind \"$2\" \"$1$3\"; root=$1; shift 3; exec chroot \"$root\" \"$@\""
                .into(),
        );
        all.extend(["sh".into(), root.into(), self.folder().into(), INSIDE.into()]);
        all.extend(["env".into(), "-i".into()]);
        all.push("PATH=/usr/sbin:/usr/bin:/sbin:/bin".into());
        all.push("LANG=C.UTF-8".into());
        all.extend(env.iter().map(|(name, value)| format!("{name}={value}").into()));
        all.extend(words.iter().map(OsString::from));
        Launch { words: all, env: Vec::new() }
    }

    /// A Java program of the installation.
    #[must_use]
    pub fn java(&self, options: &[&str], class: &str, rest: &[&str]) -> Launch {
        let libs = self.place.installation(self.broker.installation).join("libs/*");
        let libs = libs.display().to_string();
        let mut words = vec!["java"];
        words.extend(options);
        words.extend(["-cp", &libs, class]);
        words.extend(rest);
        self.launch(&words, &[])
    }

    /// The program of the installation.
    ///
    /// # Errors
    /// When it is not there.
    pub fn program(&self) -> Outcome<PathBuf> {
        install::program(self.place, self.broker).ok_or_else(|| {
            Problem::new(format!(
                "{} is not installed: `cargo xtask brokers up {}` installs it",
                self.broker, self.broker.name
            ))
        })
    }
}

/// Runs a launch to its end.
///
/// # Errors
/// When it fails, with what it said.
pub fn run(what: &str, launch: &Launch, folder: &Path) -> Outcome<()> {
    let Some((program, words)) = launch.words.split_first() else {
        return Ok(());
    };
    let output = std::process::Command::new(program)
        .args(words)
        .envs(launch.env.iter().map(|(name, value)| (name, value)))
        .current_dir(folder)
        .stdin(std::process::Stdio::null())
        .output()
        .doing(|| what.to_owned())?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Problem::new(format!("{what} failed: {}", text.trim())))
}
