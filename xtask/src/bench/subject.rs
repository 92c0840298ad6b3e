//! A subject: a process that answers lines of JSON.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::report::{Doing, Outcome, Problem};

/// A line to a subject.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    pub(super) mode: &'a str,
    pub(super) size: usize,
    pub(super) count: usize,
    pub(super) repeat: usize,
}

/// A line from a subject.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    problem: Option<String>,
    /// What one message looks like at the broker.
    pub(super) wire: String,
}

impl Answer {
    /// Whether every message came out once; says so if not.
    pub(super) fn verified(&self, name: &str) -> bool {
        if let Some(problem) = &self.problem {
            eprintln!("{name}: {problem}");
        }
        self.problem.is_none()
    }
}

/// A running subject; ended with this value.
#[derive(Debug)]
pub(super) struct Subject {
    name: String,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Subject {
    pub(super) fn start(program: &Path, transport: &str, name: &str, url: &str) -> Outcome<Self> {
        let mut child = Command::new(program)
            .args(["--transport", transport, "--subject", name, "--url", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .doing(|| format!("starting {name}"))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Problem::new(format!("{name} has no input or output")));
        };
        Ok(Self { name: name.to_owned(), child, to, from: BufReader::new(from) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Has it do some work.
    pub(super) fn ask(&mut self, request: &Request<'_>) -> Outcome<Answer> {
        let asking = || format!("asking {}", self.name);
        let line = serde_json::to_string(request).doing(asking)?;
        writeln!(self.to, "{line}").doing(asking)?;
        let mut line = String::new();
        if self.from.read_line(&mut line).doing(asking)? == 0 {
            return Err(Problem::new(format!("{} ended without an answer: see above", self.name)));
        }
        serde_json::from_str(&line).doing(asking)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Its input ends with this value anyway; no subject outlives the benchmark.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
