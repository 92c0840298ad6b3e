//! The suite would notice: three checks, each against this transport with a defect that only this check is about.

mod harness;

fn main() -> std::process::ExitCode {
    pontoon_conformance::prove(harness::Folders { sync: true }, &["PUB-EARLY", "ACK-FINAL", "RED-CRASH"])
}
