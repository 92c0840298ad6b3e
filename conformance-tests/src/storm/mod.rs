//! A storm: steady load, faults that strike while something is at stake, and one judgement of all of it.
//!
//! [`storm`] runs on any [`Site`] that offers control over its broker. Publishers publish batches with keys; consumers
//! acknowledge, fail and reject; a schedule drawn from one number cuts connections and kills the broker under them. A
//! fault counts when it was *effective*: when a publish had no outcome or a lease was open as it struck. A storm with too
//! few effective faults, or in which nothing was ever in doubt, proves nothing and is *indeterminate*.

mod crew;
mod plan;
mod schedule;
mod stakes;
mod told;
mod work;

use std::sync::Arc;
use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::{AnyTransport, Transport};
use pontoon_core::engine::Environment;
use tokio::time::{Instant, sleep};

use crate::checker::{Promises, judge};
use crate::harness::{Control, Profile, Site, Timings};
use crate::history::{Recorder, RunClock, What};
use crate::tap::{Patience, Run, drain_source, read_dead_letters};

pub use plan::Plan;
pub use told::{Counts, Storm, Strike};

pub(crate) use told::count;
pub(crate) use work::Work;

use crew::Crew;
use schedule::{Blow, schedule};
use stakes::{Stakes, Standing};

/// How long publishers and consumers may take to go on after a fault, before scaling.
const RESUMES_WITHIN: Duration = Duration::from_secs(30);
/// How long something to be at stake is waited for before a strike.
const AT_STAKE_WITHIN: Duration = Duration::from_secs(5);

/// Runs a storm over one profile and judges it. `wrap` changes the transports of publishers and consumers; it gives them
/// back as they are unless a defect is planted.
///
/// Must be called within a tokio runtime with time enabled.
///
/// # Errors
/// When the broker cannot be reached, hurt or healed: nothing is known then.
pub async fn storm(
    site: &Arc<dyn Site>,
    profile: &Profile,
    timings: &Timings,
    plan: &Plan,
    seed: u64,
    wrap: impl Fn(AnyTransport) -> AnyTransport,
) -> Result<Storm> {
    let began = Instant::now();
    let mut random = fastrand::Rng::with_seed(seed);
    let blows = schedule(plan, site.control(), &mut random);
    // Channels of a real broker outlive the run: no two storms may meet.
    let run = Run::new(
        pontoon_core::os_seed() >> 16,
        Recorder::of_process(RunClock::start(), 0),
        Environment::new().seeded(seed),
    );
    let stakes = Arc::new(Stakes::default());
    let witness = site.connect().await?;
    let work = Work::of("storm", profile.kind, &witness, run.number())?;
    let crew = Crew::aboard(site, &run, &stakes, &work, plan, &wrap, &mut random).await?;

    let planned = blows.len();
    let mut strikes = Vec::new();
    for blow in blows {
        strikes.push(strike(site.control(), &run, &stakes, timings, plan, &blow).await?);
        if strikes.last().is_some_and(|strike| strike.resumed.is_none()) {
            // What does not go on will not go on: the history says why.
            break;
        }
    }
    let calm = Instant::now();
    while stakes.standing().confirmed < plan.messages && calm.elapsed() < plan.patience.mul_f64(timings.scale) {
        sleep(Duration::from_millis(20)).await;
    }

    // Progress is promised once nothing is wrong any more.
    let patience = Patience {
        step: Duration::from_millis(50),
        quiet: timings.quiet() * 2,
        deadline: plan.patience.mul_f64(timings.scale),
    };
    crew.stop_publishing(patience.deadline).await;
    for source in &work.sources {
        drain_source(&run, &witness, source, patience).await?;
    }
    crew.stop_consuming(patience.deadline).await;
    if let Some(letters) = work.channel.dead_letter_channel() {
        read_dead_letters(&run, &witness, &letters, patience).await?;
    }
    let _ = witness.close().await;
    run.recorder().note("the end");
    let history = run.recorder().take();
    let promises = promises(&work, &witness, timings);
    let verdict = judge(&history, &promises);
    let limits =
        told::Limits { effective: Plan::effective(&strikes, planned), window: plan.window(work.sources.len()) };
    Ok(Storm::new(profile, seed, strikes, history, promises, verdict, limits, began.elapsed()))
}

fn promises(work: &Work, transport: &AnyTransport, timings: &Timings) -> Promises {
    let profile = transport.capabilities(&work.channel);
    let mut promises = Promises::of(&work.channel, &profile, &Plan::retry());
    promises.early_by = timings.slack();
    promises.notice = Duration::from_secs(2).mul_f64(timings.scale);
    promises.confirmed_share = 0.5;
    promises
}

/// One blow: waits for its moment, strikes, and waits until everybody has gone on.
async fn strike(
    control: &dyn Control,
    run: &Run,
    stakes: &Stakes,
    timings: &Timings,
    plan: &Plan,
    blow: &Blow,
) -> Result<Strike> {
    sleep(blow.after).await;
    stakes.surge(true);
    let waiting = Instant::now();
    // Both at once where that can be had; a publish alone, or a lease, will do after a while.
    while !stakes.standing().is_all_at_stake() && waiting.elapsed() < AT_STAKE_WITHIN / 50 {
        sleep(Duration::from_millis(1)).await;
    }
    while !stakes.standing().is_at_stake() && waiting.elapsed() < AT_STAKE_WITHIN {
        sleep(Duration::from_millis(1)).await;
    }
    let before = stakes.standing();
    run.recorder().record(What::Fault { kind: blow.kind });
    let at = run.recorder().now();
    let harmed = control.harm(blow.harm.clone()).await;
    stakes.surge(false);
    harmed?;
    let struck = Instant::now();
    if blow.lasts > Duration::ZERO {
        sleep(blow.lasts).await;
        control.heal().await?;
    }
    let resumed = resumed(stakes, before, struck, RESUMES_WITHIN.mul_f64(timings.scale)).await;
    control.heal().await?;
    run.recorder().record(What::Heal { kind: blow.kind });
    if blow.is_a_kill() {
        sleep(plan.load_after_kill).await;
    }
    Ok(Strike { name: blow.name, kind: blow.kind, at, publishes: before.publishes, leases: before.leases, resumed })
}

/// How long it took until both a publish was confirmed and a message was handled that had not been before the blow.
async fn resumed(stakes: &Stakes, before: Standing, struck: Instant, within: Duration) -> Option<Duration> {
    // What was on its way when it struck may still end: as much again must follow.
    let more = (before.publishes + before.leases).unsigned_abs();
    loop {
        let now = stakes.standing();
        if now.confirmed > before.confirmed + more && now.handled > before.handled + more {
            return Some(struck.elapsed());
        }
        if struck.elapsed() >= within {
            return None;
        }
        sleep(Duration::from_millis(2)).await;
    }
}
