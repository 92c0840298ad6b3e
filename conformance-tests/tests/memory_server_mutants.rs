//! The mutants of checks that need a process to kill, on the memory server.

#[path = "common/server.rs"]
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    // Over a socket a break must leave the end of a batch unstored, and not only its answer lost, for the mutant to reorder
    // anything: that is chance. On the memory transport, whose faults are exact, it is killed each time.
    let except = [("ORD-PIPE", "where a break strikes is chance; its mutant is killed on memory")];
    pontoon_conformance::prove_except(server::Server, &[], &except)
}
