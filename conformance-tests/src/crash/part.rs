//! What a process does that is to die: it publishes or consumes until it comes to its point.

use std::path::PathBuf;
use std::process::exit;
use std::sync::Arc;
use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::AnyTransport;
use pontoon_core::engine::{ConsumerOptions, Environment, PublisherOptions};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::point::{Mine, Point};
use super::{BATCH, PREFETCH, retry};
use crate::harness::Harness;
use crate::history::{Payload, Recorder, RunClock, What};
use crate::mutants::wrap;
use crate::storm::Work;
use crate::tap::{Run, TappedConsumer, TappedDelivery, TappedPublisher};

/// The variable with a [`Part`], as JSON: a test program that finds it is that part, and nothing else.
pub(super) const PART: &str = "PONTOON_CRASH_AT";
/// Of each source.
const HANDLERS: usize = 2;
/// How many messages a publisher issues at most: it dies before.
const MESSAGES: usize = 2_000;
/// Publishers and consumers of one process are numbered from its number times this.
const HANDLES: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Consumer,
    Publisher,
}

/// What a process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) at: Point,
    /// At which time of coming there it dies.
    pub(super) times: u64,
    pub(super) profile: String,
    /// Where the broker is: see `Site::address`.
    pub(super) address: String,
    /// Of the run's clock.
    pub(super) origin: u64,
    pub(super) run: u64,
    pub(super) process: u32,
    /// Where its part of the history goes.
    pub(super) file: PathBuf,
    pub(super) careless: bool,
}

/// Plays the part that this process was started for by [`crash`](super::crash), if it was, and does not return then. A
/// program with a `main` of its own begins with this; [`main`](crate::main) does it by itself.
pub fn play_if_asked(harness: &dyn Harness) {
    let Ok(text) = std::env::var(PART) else { return };
    // Whoever started this reads standard input's other end: when that is gone, so is the run.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        exit(0);
    });
    let played = serde_json::from_str(&text).map_err(|error| error.to_string()).and_then(|part: Part| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(play(harness, part)).map_err(|error| error.to_string())
    });
    match played {
        Ok(()) => eprintln!("this process was to die and did not come to its point"),
        Err(error) => eprintln!("this process was to die and failed before: {error}"),
    }
    exit(1);
}

async fn play(harness: &dyn Harness, part: Part) -> Result<()> {
    let profile = harness.profiles().into_iter().find(|profile| profile.name == part.profile);
    let profile = profile.ok_or_else(|| super::wrong(format!("there is no profile {}", part.profile)))?;
    let recorder = Recorder::to_file(RunClock::join(part.origin), part.process, &part.file)
        .map_err(|error| super::wrong(format!("{}: {error}", part.file.display())))?;
    recorder.record(What::ProcessStarted { process: part.process });
    let mine = Arc::new(Mine::new(part.at, part.times, recorder.clone(), part.careless));
    let environment = Environment::new().seeded(u64::from(part.process));
    let run = Run::part(part.run, recorder, environment, 1 + part.process * HANDLES);
    let transport = wrap(harness.join(&profile, &part.address).await?, mine.clone());
    let work = Work::of("crash", profile.kind, &transport, part.run)?;
    match part.at.role() {
        Role::Publisher => publish(&run, &transport, &work, &mine).await,
        Role::Consumer => consume(&run, &transport, &work, &mine).await,
    }
}

async fn publish(run: &Run, transport: &AnyTransport, work: &Work, mine: &Mine) -> Result<()> {
    let publisher = TappedPublisher::open(run, transport, work.channel.clone(), PublisherOptions::default()).await?;
    for batch in 0..MESSAGES / BATCH {
        let mut under_way = Vec::with_capacity(BATCH);
        for at in 0..BATCH {
            let pending = publisher.enqueue(&super::spec(work, (batch * BATCH + at) as u64)).await;
            under_way.push(pending.map_err(|error| super::wrong(error.to_string()))?);
        }
        for (id, pending) in under_way {
            let _ = publisher.settle_after(id, pending, |_| mine.step_on(Point::BeforeLog)).await;
        }
        // The pace of its work, not a wait.
        sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

async fn consume(run: &Run, transport: &AnyTransport, work: &Work, mine: &Arc<Mine>) -> Result<()> {
    let mut handlers = Vec::new();
    for source in &work.sources {
        let mut options = ConsumerOptions::default();
        options.prefetch = PREFETCH;
        options.retry = retry();
        let consumer = TappedConsumer::open(run, transport, source.clone(), options).await?;
        for _ in 0..HANDLERS {
            handlers.push(tokio::spawn(handle(run.clone(), consumer.clone(), mine.clone())));
        }
    }
    for handler in handlers {
        let _ = handler.await;
    }
    Ok(())
}

async fn handle(run: Run, consumer: TappedConsumer, mine: Arc<Mine>) {
    while let Some(Ok(delivery)) = consumer.next().await {
        mine.step_on(Point::Decoding);
        let _ = Payload::read(run.number(), delivery.message());
        mine.step_on(Point::Handling);
        // What handling takes.
        sleep(Duration::from_millis(2)).await;
        effect(&run, &delivery);
        mine.step_on(Point::EffectDone);
        let _ = delivery.ack();
        if mine.is_at(Point::AfterAck) {
            let late = consumer.flush().await;
            if late.stale + late.unknown == 0 {
                mine.step_on(Point::AfterAck);
            }
        }
    }
}

/// What a handler does to the world: here, a line in the history.
fn effect(run: &Run, delivery: &TappedDelivery) {
    run.recorder().note(format!("effect of {}", delivery.message().id));
}
