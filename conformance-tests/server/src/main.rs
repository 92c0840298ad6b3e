//! The memory server as a program.

use std::process::ExitCode;

fn main() -> ExitCode {
    pontoon_memory_server::main()
}
