//! The conformance suite on real servers, each behind a proxy that cuts.

mod backend;
mod common;

use std::process::ExitCode;

fn main() -> ExitCode {
    pontoon_conformance::main(backend::Redis, concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.toml"))
}
