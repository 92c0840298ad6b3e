//! A state folder of its own for a test, and the command run on it.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// Everything a test's brokers leave behind; ended and removed with it.
pub(crate) struct Sandbox {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Another cache than the user's.
    cache: Option<PathBuf>,
}

/// What a command said.
pub(crate) struct Said {
    /// Whether it succeeded.
    pub(crate) well: bool,
    /// Both outputs.
    pub(crate) text: String,
}

impl Sandbox {
    /// A fresh one, with the user's installations.
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { folder, cache: None }
    }

    /// A fresh one, with nothing installed.
    #[cfg(feature = "broker-tests")]
    pub(crate) fn bare(name: &str) -> Self {
        let mut new = Self::new(name);
        let cache = new.folder.join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        new.cache = Some(cache);
        new
    }

    /// Where state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.join("brokers")
    }

    /// The command, to be run by `wrapper` when there is one.
    pub(crate) fn command(&self, wrapper: &[&str], words: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_xtask");
        let mut command = match wrapper.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("brokers").args(words).env("PONTOON_BROKERS_DIR", self.state());
        if let Some(cache) = &self.cache {
            command.env("XDG_CACHE_HOME", cache);
        }
        command
    }

    /// Runs `cargo xtask brokers` with `words`.
    pub(crate) fn run(&self, words: &[&str]) -> Said {
        said(&self.command(&[], words).output().unwrap())
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub(crate) fn well(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert!(said.well, "brokers {}: {}", words.join(" "), said.text);
        said.text
    }

    /// The same, and it must fail.
    #[track_caller]
    pub(crate) fn ill(&self, words: &[&str]) -> String {
        let said = self.run(words);
        assert!(!said.well, "brokers {}: {}", words.join(" "), said.text);
        said.text
    }
}

/// Both outputs of a command.
pub(crate) fn said(output: &Output) -> Said {
    Said {
        well: output.status.success(),
        text: format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Also when the test failed: nothing may outlive it. `--purge` without names would look at
        // the installations too; those of the user stay.
        if self.state().exists() {
            let names: Vec<&str> = xtask::brokers::table::BROKERS.iter().map(|broker| broker.name).collect();
            let mut words = vec!["down", "--purge"];
            words.extend(names);
            let _ = self.command(&[], &words).output();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
