//! Everything that pontoon promises, put to the test on this transport.

mod harness;

fn main() -> std::process::ExitCode {
    let expected = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/expected.toml");
    pontoon_conformance::main(harness::Folders { sync: true }, expected)
}
