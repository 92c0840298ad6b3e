//! `cargo xtask licences`: what the lock file pulls in, checked without any network.
//!
//! Three answers: every dependency has a licence that suits ours, which crates come in several
//! versions, and the default features pull no broker client.

use std::collections::BTreeMap;
use std::process::ExitCode;

use crate::report::{Doing, Outcome, Problem};
use crate::workspace::{self, cargo};

/// Licences that suit a library offered under MIT or Apache-2.0.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Clients that a user who did not ask for a broker must not compile.
const CLIENTS: &[&str] = &["lapin", "rdkafka", "rdkafka-sys", "redis", "aws-sdk-sqs"];

/// Runs the task.
///
/// # Errors
/// When cargo cannot be run at all.
pub fn run() -> Outcome<ExitCode> {
    let metadata = workspace::metadata(true)?;
    let mut complaints = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut outside = 0_usize;
    for package in metadata.packages.iter().filter(|p| p.source.is_some()) {
        outside += 1;
        versions.entry(&package.name).or_default().push(&package.version);
        match &package.license {
            Some(expression) if suits(expression) => {}
            other => complaints.push(format!(
                "{} {} has the licence {}; replace it, or add the licence to xtask/src/licences.rs",
                package.name,
                package.version,
                other.as_deref().unwrap_or("(none)")
            )),
        }
    }
    println!("{outside} dependencies looked at");
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        println!("duplicate: {name} {}", versions.join(", "));
    }
    complaints
        .extend(broker_clients()?.iter().map(|client| format!("the default features of pontoon pull in {client}")));
    for complaint in &complaints {
        eprintln!("error: {complaint}");
    }
    if complaints.is_empty() {
        println!("licences suit; default features pull no broker client");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}

/// Whether an SPDX expression can be met with the licences allowed here.
///
/// Handles what crates write: `A OR B`, `A AND B`, parentheses and the old slash for `OR`.
#[must_use]
pub fn suits(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) && rest.is_empty()
}

fn any(words: &mut &[&str]) -> bool {
    let mut met = all(words);
    while let Some(("OR", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        let right = all(words);
        met = met || right;
    }
    met
}

fn all(words: &mut &[&str]) -> bool {
    let mut met = one(words);
    while let Some(("AND", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        let right = one(words);
        met = met && right;
    }
    met
}

fn one(words: &mut &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return false;
    };
    *words = rest;
    if *first == "(" {
        let met = any(words);
        if let Some((")", rest)) = words.split_first().map(|(word, rest)| (*word, rest)) {
            *words = rest;
            return met;
        }
        return false;
    }
    if let Some(("WITH", [exception, rest @ ..])) = words.split_first().map(|(word, rest)| (*word, rest)) {
        *words = rest;
        // A licence with an exception grants more than the licence alone.
        return ALLOWED.contains(first) || ALLOWED.contains(&&*format!("{first} WITH {exception}"));
    }
    ALLOWED.contains(first)
}

fn broker_clients() -> Outcome<Vec<String>> {
    let output = cargo()
        .args(["tree", "--package", "pontoon", "--edges", "normal,build"])
        .args(["--prefix", "none", "--quiet"])
        .output()
        .doing(|| "running cargo tree".to_owned())?;
    if !output.status.success() {
        return Err(Problem::new(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    Ok(clients_in(&String::from_utf8_lossy(&output.stdout)))
}

/// The broker clients in the text of `cargo tree --prefix none`.
#[must_use]
pub fn clients_in(tree: &str) -> Vec<String> {
    CLIENTS
        .iter()
        .filter(|client| tree.lines().any(|line| line.split(' ').next() == Some(**client)))
        .map(|client| (*client).to_owned())
        .collect()
}
