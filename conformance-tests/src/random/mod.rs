//! Random schedules: publishers, handlers, consumers that come and go, and trouble, all drawn from one number, recorded
//! and judged.
//!
//! [`schedule`] runs on any transport. On `memory://` in paused time equal numbers give equal histories, byte for byte;
//! elsewhere the same work is asked for, and time does the rest. What goes wrong is up to the [`Stage`]'s [`Trouble`].

mod handling;
mod plan;
mod publishing;
mod seeds;
mod trouble;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::Environment;
use pontoon_core::{Result, Source};

use crate::checker::{Promises, Verdict, judge};
use crate::history::{History, Recorder, RunClock};
use crate::tap::{Patience, Run, TappedPublisher, drain_source, read_dead_letters};

pub use seeds::{SEED, SEEDS, seeds};
pub use trouble::{NoTrouble, Trouble};

use handling::Readers;
use plan::Plan;

/// Where schedules run.
#[derive(Clone)]
pub struct Stage {
    /// The transport.
    pub transport: AnyTransport,
    /// What can go wrong on purpose.
    pub trouble: Arc<dyn Trouble>,
    /// How much longer everything takes than on `memory://`: 1.0 there, more over a network.
    pub scale: f64,
    /// What the names of channels begin with, so that runs do not meet.
    pub prefix: String,
}

impl Stage {
    /// A duration of so many milliseconds, scaled.
    #[must_use]
    pub fn ms(&self, millis: u64) -> Duration {
        Duration::from_millis(millis).mul_f64(self.scale)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").field("scale", &self.scale).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// What a schedule did and what is to be said of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The number it was drawn from.
    pub seed: u64,
    /// What it was to do, in words.
    pub plan: String,
    /// What happened.
    pub history: History,
    /// What it was held to.
    pub promises: Promises,
    /// What the checker says.
    pub verdict: Verdict,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {}: {}", self.seed, self.plan, self.verdict)
    }
}

/// Runs the schedule of this number and judges it.
///
/// Must be called within a tokio runtime with time enabled.
///
/// # Errors
/// When something cannot be opened, or the broker cannot be asked what it holds.
pub async fn schedule(stage: &Stage, seed: u64) -> Result<Report> {
    let mut random = fastrand::Rng::with_seed(seed);
    let plan = Plan::draw(stage, &mut random)?;
    let run = Run::new(seed, Recorder::of_process(RunClock::start(), 0), Environment::new().seeded(seed));
    let readers = Readers::open(stage, &plan, &run, &mut random).await?;
    let mut publishing = Vec::new();
    for _ in 0..plan.publishers {
        let options = plan.publisher_options(stage);
        let publisher = TappedPublisher::open(&run, &stage.transport, plan.channel.clone(), options).await?;
        publishing.push(tokio::spawn(publishing::publish(stage.clone(), plan.clone(), publisher, random.fork())));
    }
    let trouble = tokio::spawn(trouble::make(stage.clone(), run.clone(), plan.phases.clone()));
    for task in publishing {
        // Its own panics are a defect of this file; the run ends with what was recorded.
        let _ = task.await;
    }
    let _ = trouble.await;
    // Progress is promised once nothing is wrong any more.
    let patience = Patience { step: stage.ms(20), quiet: stage.ms(2_000), deadline: stage.ms(60_000) };
    for source in plan.sources()? {
        drain_source(&run, &stage.transport, &source, patience).await?;
    }
    readers.close(stage).await;
    if let Some(letters) = plan.channel.dead_letter_channel() {
        read_dead_letters(&run, &stage.transport, &letters, patience).await?;
    }
    run.recorder().note("the end");
    let history = run.recorder().take();
    let promises = plan.promises(stage);
    let verdict = judge(&history, &promises);
    Ok(Report { seed, plan: plan.to_string(), history, promises, verdict })
}

/// A name for a source that error messages and histories share.
fn source_of(plan: &Plan, subscription: Option<&pontoon_core::Subscription>) -> Result<Source> {
    Source::new(plan.channel.clone(), subscription.cloned())
}
