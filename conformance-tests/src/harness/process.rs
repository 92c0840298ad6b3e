//! A broker's process, handled by a command.

use std::path::PathBuf;
use std::process::Stdio;

use pontoon_core::{Error, ErrorKind, Result};
use tokio::process::Command;

/// The variable that names the command: a program that takes `brokers kill NAME`, `brokers restart NAME`, `brokers pause
/// NAME` and `brokers resume NAME`. `cargo xtask` sets it to itself.
const COMMAND: &str = "PONTOON_BROKERS_COMMAND";

/// The process of a broker that is started and hurt by a command of its own, which may serve others too: for storms, which
/// have it for themselves.
#[derive(Clone, Debug)]
pub struct BrokerProcess {
    program: PathBuf,
    name: String,
}

impl BrokerProcess {
    /// The broker of this name, where there is a command to handle it.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let program = std::env::var_os(COMMAND)?.into();
        Some(BrokerProcess { program, name: name.to_owned() })
    }

    /// Kills it without a word, and starts it again on what it had stored. Returns when it is healthy.
    ///
    /// # Errors
    /// When the command fails, with what it said.
    pub async fn restart(&self) -> Result<()> {
        self.run("kill").await?;
        self.run("restart").await
    }

    /// Lets it stand still.
    ///
    /// # Errors
    /// When the command fails, with what it said.
    pub async fn pause(&self) -> Result<()> {
        self.run("pause").await
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When the command fails, with what it said.
    pub async fn resume(&self) -> Result<()> {
        self.run("resume").await
    }

    async fn run(&self, verb: &'static str) -> Result<()> {
        let mut command = Command::new(&self.program);
        command.args(["brokers", verb, &self.name]).stdin(Stdio::null()).kill_on_drop(true);
        // Cargo's word for the package of this test, which is not the command's.
        command.env_remove("CARGO_MANIFEST_DIR");
        let failed = |why: String| {
            Error::new(ErrorKind::Internal, "hurt broker", format!("`brokers {verb} {}` failed: {why}", self.name))
        };
        let output = command.output().await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_command_says_is_in_the_error() {
        let process = |program: &str| BrokerProcess { program: program.into(), name: "redis".to_owned() };
        process("true").restart().await.unwrap();
        let error = process("ls").pause().await.unwrap_err().to_string();
        assert!(error.contains("`brokers pause redis` failed") && error.contains("pause"), "{error}");
        assert!(process("/there/is/none").resume().await.is_err());
    }
}
