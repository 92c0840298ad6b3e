//! What one process of a run does: it publishes, or it consumes until its standard input ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pontoon_conformance::history::{Recorder, RunClock, What};
use pontoon_conformance::mutants::{Deed, Defect, Faithful, Seat, wrap};
use pontoon_conformance::tap::{Run, Spec, TappedConsumer, TappedDelivery, TappedPublisher};
use pontoon_core::driver::{AnyTransport, Disposition, Token};
use pontoon_core::engine::{ConsumerOptions, Environment, PublisherOptions, Reconnect};
use pontoon_core::{Channel, ChannelName, DeadLetterPolicy, Order, Retry, Source};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

/// The variable with the [`Part`], as JSON.
pub(crate) const PART: &str = "PONTOON_PART_OF_A_RUN";
/// How many messages one publisher issues: more than it lives to.
const MESSAGES: u64 = 400;
/// Of each consumer.
const HANDLERS: usize = 4;
/// No process has more publishers and consumers.
const HANDLES: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Publisher,
    Consumer,
}

/// What a process is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) role: Role,
    pub(crate) url: String,
    /// Of the run's clock.
    pub(crate) origin: u64,
    pub(crate) run: u64,
    pub(crate) process: u32,
    /// Where its part of the history goes.
    pub(crate) file: PathBuf,
    /// Whether it acknowledges past a hole.
    pub(crate) careless: bool,
}

pub(crate) fn channel() -> Channel {
    let mut channel = Channel::queue("work").unwrap();
    channel.order = Order::BLOCK;
    channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("dead").unwrap());
    channel
}

pub(crate) fn retry() -> Retry {
    Retry::fixed(Duration::from_millis(20)).jitter(0.0).attempts(3)
}

/// Acknowledges all that it holds with each acknowledgement.
struct Careless;

impl Defect for Careless {
    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        match what {
            Disposition::Ack => {
                let others = out.iter().filter(|other| **other != token);
                Deed::With(Disposition::Ack, others.map(|other| (*other, Disposition::Ack)).collect())
            }
            other => Deed::Do(other),
        }
    }
}

/// Plays the part that this process was started for, if it was, and does not return then.
pub(crate) fn play_if_asked() {
    let Ok(text) = std::env::var(PART) else { return };
    let part: Part = serde_json::from_str(&text).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(play(part));
    std::process::exit(0);
}

async fn play(part: Part) {
    let process = part.process;
    let recorder = Recorder::to_file(RunClock::join(part.origin), process, &part.file).unwrap();
    recorder.record(What::ProcessStarted { process });
    let environment = Environment::new().seeded(u64::from(process));
    let run = Run::part(part.run, recorder, environment, 1 + process * HANDLES);
    let defect: Arc<dyn Defect> = if part.careless { Arc::new(Careless) } else { Arc::new(Faithful) };
    let transport = wrap(pontoon_memory_server::connect(&part.url).await.unwrap(), defect);
    match part.role {
        Role::Publisher => publish(&run, &transport).await,
        Role::Consumer => consume(&run, &transport).await,
    }
}

fn reconnect() -> Reconnect {
    Reconnect::new(Duration::from_millis(5), Duration::from_millis(50))
}

async fn publish(run: &Run, transport: &AnyTransport) {
    let mut options = PublisherOptions::default();
    options.reconnect = reconnect();
    let publisher = TappedPublisher::open(run, transport, channel(), options).await.unwrap();
    for number in 0..MESSAGES / 4 {
        let burst = (0..4).map(|at| Spec { len: 100, ..Spec::keyed((number * 4 + at) % 6) });
        let _ = publisher.publish_all(burst.collect::<Vec<_>>()).await;
        // The pace of its work, not a wait.
        sleep(Duration::from_millis(15)).await;
    }
    let _ = publisher.close(Duration::from_secs(10)).await;
}

async fn consume(run: &Run, transport: &AnyTransport) {
    let mut options = ConsumerOptions::default();
    options.prefetch = 8;
    options.reconnect = reconnect();
    options.retry = retry();
    let source = Source::new(channel(), None).unwrap();
    let consumer = TappedConsumer::open(run, transport, source, options).await.unwrap();
    for _ in 0..HANDLERS {
        let (consumer, mut random) = (consumer.clone(), fastrand::Rng::with_seed(u64::from(consumer.number())));
        tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                // What handling takes.
                sleep(Duration::from_millis(random.u64(2..15))).await;
                end(delivery, &mut random).await;
            }
        });
    }
    let told = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
    let _ = told.await;
    let _ = consumer.drain(Duration::from_secs(10)).await;
}

async fn end(delivery: TappedDelivery, random: &mut fastrand::Rng) {
    match random.u8(..20) {
        0 => drop(delivery.reject("at random")),
        1 | 2 => {
            let _ = delivery.retry(None, "at random");
        }
        3 => {
            let _ = delivery.release();
        }
        4..8 => drop(delivery.ack_confirmed().await),
        _ => {
            let _ = delivery.ack();
        }
    }
}
