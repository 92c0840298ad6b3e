//! Storms over the memory server: the short form is calm in the end, and a loss that was planted is found.
#![allow(clippy::unwrap_used)]

#[path = "common/server.rs"]
mod server;

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use pontoon_conformance::checker::{AnomalyKind, Verdict};
use pontoon_conformance::harness::{Harness, Profile};
use pontoon_conformance::history::What;
use pontoon_conformance::mutants::{Defect, Fate, wrap};
use pontoon_conformance::run::seed;
use pontoon_conformance::storm::{Plan, Storm, storm};
use pontoon_core::driver::AnyTransport;
use pontoon_core::{Channel, Message, PublishOutcome, Receipt};

/// Says that one message in ten thousand is stored, and drops it.
#[derive(Default)]
struct LosesRarely {
    seen: AtomicU64,
    lost: Mutex<HashSet<String>>,
}

impl Defect for LosesRarely {
    fn submit(&self, channel: &Channel, message: Message) -> Fate {
        let number = self.seen.fetch_add(1, Ordering::Relaxed);
        if number % 10_000 != 9_999 || channel.name.as_str().ends_with("dead") {
            return Fate::Pass(message);
        }
        self.lost.lock().unwrap().insert(message.id.to_string());
        Fate::Told(PublishOutcome::Confirmed(Receipt::default()), None)
    }
}

fn over(profile: &Profile, plan: &Plan, wrap: impl Fn(AnyTransport) -> AnyTransport) -> Result<Storm, Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let site = server::Server.open(profile, seed()).await?;
        let storm = storm(&site, profile, &server::Server.timings(), plan, seed(), wrap).await?;
        println!("{storm}");
        Ok(storm)
    })
}

fn passes(profile: &Profile) -> Result<(), Failed> {
    let storm = over(profile, &Plan::short(), |transport| transport)?;
    if storm.verdict.is_passed() && storm.strikes.len() == 25 {
        return Ok(());
    }
    let repeat =
        format!("PONTOON_SEED={} cargo test -p pontoon-conformance --test storm -- {}", storm.seed, profile.name);
    Err(format!("{storm}\nrepeat the schedule with: {repeat}").into())
}

/// Members that join and leave all the time, while the broker is killed: the work is shared anew again and again.
fn members_come_and_go(profile: &Profile) -> Result<(), Failed> {
    let storm = over(profile, &Plan::short().with_guests(2), |transport| transport)?;
    let came = storm.history.events().iter().filter(|event| matches!(event.what, What::Subscribe(_))).count();
    if storm.verdict.is_passed() && came >= 6 {
        return Ok(());
    }
    Err(format!("{came} consumers came, 2 of them to stay; {storm}").into())
}

fn notices(profile: &Profile) -> Result<(), Failed> {
    let defect = Arc::new(LosesRarely::default());
    let planted = defect.clone();
    let plan = Plan::short().with_load(100_000, 20_000);
    let storm = over(profile, &plan, |transport| wrap(transport, planted.clone()))?;
    // One whose connection ended before its false confirmation was heard was sent again: it is not lost.
    let mut lost = defect.lost.lock().unwrap().clone();
    for event in storm.history.events() {
        if let What::Deliver(delivery) = &event.what {
            lost.remove(delivery.message.as_str());
        }
    }
    let lost = lost.len() as u64;
    let Verdict::Failed(failure) = &storm.verdict else {
        return Err(format!("{lost} messages were lost, and nobody noticed: {storm}").into());
    };
    let found = failure.counts.get(&AnomalyKind::LostConfirmed).copied().unwrap_or_default()
        + failure.counts.get(&AnomalyKind::Unseen).copied().unwrap_or_default();
    let named = failure.anomalies.iter().any(|anomaly| {
        matches!(anomaly.kind, AnomalyKind::LostConfirmed | AnomalyKind::Unseen) && !anomaly.witness.events().is_empty()
    });
    let confirmed = storm.counts.confirmed;
    if found == lost && lost >= 5 && named && confirmed >= 100_000 && failure.counts.len() <= 2 {
        return Ok(());
    }
    Err(format!("lost {lost}, found {found}, confirmed {confirmed}: {storm}").into())
}

fn main() -> ExitCode {
    // Started again as a memory server, this program is one.
    pontoon_memory_server::run_if_asked();
    let mut trials = Vec::new();
    for profile in server::Server.profiles() {
        trials.push(Trial::test(profile.name.clone(), move || passes(&profile)));
    }
    let profile = server::Server.profiles().remove(0);
    let own = profile.clone();
    trials.push(Trial::test("members come and go", move || members_come_and_go(&own)));
    trials.push(Trial::test("one loss in ten thousand is found", move || notices(&profile)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
