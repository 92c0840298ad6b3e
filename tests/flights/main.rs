//! The main job: the example is run as a user runs it, and its parts are tested by themselves.

mod accounts;
mod faulty;
mod interrupted;
mod process;
mod refused;
mod sabotaged;
mod whole;

/// The example's own modules, for their unit tests: cargo builds an example either to be run or to be tested.
#[path = "../../examples/flights"]
#[allow(dead_code)]
mod app {
    mod args;
    mod board;
    mod input;
    mod journal;
    mod judge;
    mod plan;
    mod sabotage;
}
