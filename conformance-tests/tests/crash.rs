//! Processes killed at named points, on the memory server: nothing is lost; where processes acknowledge what they have not
//! handled, that is found.

#[path = "common/server.rs"]
mod server;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use pontoon_conformance::checker::AnomalyKind;
use pontoon_conformance::crash::{Crash, Point, crash, play_if_asked};
use pontoon_conformance::harness::{Harness, Profile};
use pontoon_conformance::run::seed;

fn over(profile: &Profile, points: &[Point], careless: bool) -> Result<Crash, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let site = server::Server.open(profile, seed()).await?;
        let crash = crash(&site, profile, &server::Server.timings(), points, seed(), careless).await?;
        let crash = crash.ok_or("other processes reach the memory server")?;
        println!("{crash}");
        Ok(crash)
    })
}

fn passes(profile: &Profile) -> Result<(), Failed> {
    let crash = over(profile, &Point::ALL, false)?;
    if crash.verdict.is_passed() && crash.points.len() == Point::ALL.len() {
        return Ok(());
    }
    let repeat =
        format!("PONTOON_SEED={} cargo test -p pontoon-conformance --test crash -- {}", crash.seed, profile.name);
    Err(format!("{crash}\nrepeat with: {repeat}").into())
}

/// What it acknowledged and had not handled is lost with the process, and named.
fn careless_is_found(profile: &Profile) -> Result<(), Failed> {
    let crash = over(profile, &[Point::EffectDone, Point::DuringAck], true)?;
    if crash.verdict.kinds().contains(&AnomalyKind::LostConfirmed) {
        return Ok(());
    }
    Err(format!("acknowledging what was not handled is not noticed: {crash}").into())
}

fn main() -> ExitCode {
    // Started again as a memory server, or as a process that is to die, this program is that.
    pontoon_memory_server::run_if_asked();
    play_if_asked(&server::Server);
    let mut trials = Vec::new();
    for profile in server::Server.profiles() {
        trials.push(Trial::test(profile.name.clone(), move || passes(&profile)));
    }
    let profile = server::Server.profiles().remove(0);
    trials.push(Trial::test("careless processes are found", move || careless_is_found(&profile)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
