//! The suite on the memory server, in real time: processes, sockets, kills and restarts.

#[path = "common/server.rs"]
mod server;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/memory_server.expected.toml");
    pontoon_conformance::main(server::Server, expected)
}
