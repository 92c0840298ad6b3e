//! `cargo xtask`: the tasks of the project. Everything lives in the library, so tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
