//! Which program is the server: one that cargo builds, or the one that asks.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use pontoon_core::{Error, ErrorKind, Result};

/// Set for a program that is to be a memory server.
pub(crate) const ASKED: &str = "PONTOON_RUN_MEMORY_SERVER";

/// Makes this process a memory server where [`ServerOptions::in_this_program`](crate::ServerOptions::in_this_program) started it as one; it then does not
/// return. Else it does nothing. To be called first of all in `main`.
pub fn run_if_asked() {
    if std::env::var_os(ASKED).is_some() {
        let code = crate::cli::main();
        std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
    }
}

pub(crate) fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Internal, "run memory server", what)
}

/// The program of this package, built once for each process that asks.
pub(crate) fn built() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

/// Builds the program in the profile of tests, most of whose dependencies may be built already.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--profile", "test", "--bin", "pontoon-memory-server", "--message-format", "json"])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .map_err(|error| failed("cannot run cargo to build the program").with_source(error))?;
    if !output.status.success() {
        return Err(failed(format!("cannot build the program: {}", String::from_utf8_lossy(&output.stderr))));
    }
    // Of all messages one names an executable.
    let told = String::from_utf8_lossy(&output.stdout);
    let path = told.split("\"executable\":\"").nth(1).and_then(|rest| rest.split('"').next());
    path.map(PathBuf::from).ok_or_else(|| failed("cargo did not say where the program is"))
}
