//! The mutants of checks that need a process to kill, on the memory server.

#[path = "common/server.rs"]
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    pontoon_conformance::prove(server::Server, &[])
}
