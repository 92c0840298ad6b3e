//! Publishers and consumers in processes of their own, killed again and again under load, on the memory server. Each
//! writes its part of the history to a file; the parts are put together and judged.
//!
//! `PONTOON_SEED` repeats the choices of a run, if not its history.
#![allow(clippy::unwrap_used)]

mod part;
mod run;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use pontoon_conformance::checker::{AnomalyKind, Verdict};
use pontoon_conformance::random::SEED;

use run::Judged;

/// What is killed is delivered to another, and nothing is lost.
fn killed_processes_lose_nothing() -> Result<(), Failed> {
    let Judged { verdict, hit, .. } = run::run(seed(), false)?;
    if !verdict.is_passed() {
        return Err(format!(
            "{verdict}\nrepeat with: {SEED}={} cargo test -p pontoon-conformance --test processes",
            seed()
        )
        .into());
    }
    if hit == 0 {
        return Err("no consumer was killed with a delivery in its hands: nothing was shown".into());
    }
    Ok(())
}

/// Consumers that acknowledge all they hold with each acknowledgement: what the killed ones held is lost, and named.
fn careless_processes_are_found() -> Result<(), Failed> {
    let Judged { verdict, .. } = run::run(seed(), true)?;
    let found = matches!(&verdict, Verdict::Failed(_)) && verdict.kinds().contains(&AnomalyKind::LostConfirmed);
    if found { Ok(()) } else { Err(format!("acknowledging past a hole is not noticed: {verdict}").into()) }
}

fn seed() -> u64 {
    std::env::var(SEED).map_or(1, |text| text.parse().unwrap_or_else(|_| panic!("{SEED}={text} is no number")))
}

fn main() -> ExitCode {
    // Started again as a memory server, or as a part of a run, this program is that.
    pontoon_memory_server::run_if_asked();
    part::play_if_asked();
    let trials = vec![
        Trial::test("killed_processes_lose_nothing", killed_processes_lose_nothing),
        Trial::test("careless_processes_are_found", careless_processes_are_found),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
