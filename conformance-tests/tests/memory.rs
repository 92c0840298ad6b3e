//! The suite on the memory transport, in paused time.

mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    pontoon_conformance::main(common::Memory, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/memory.expected.toml"))
}
