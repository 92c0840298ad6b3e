//! What the run asks of the library beside publishing and handling.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon::driver::DepthReport;
use pontoon::{Broker, DeadLetter, Event, EventHook, EventKind, ReasonKind, TracingHook};

use super::args::Args;
use super::flight::{DEAD, FLIGHTS, Flight, NAME};
use super::report::Letter;
use super::sabotage;

/// How many publishes may be without an outcome at once: the library's default.
pub(crate) const UNCONFIRMED: usize = 1_024;

/// Counts reconnects, which explain duplicates.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reconnects(Arc<AtomicU64>);

impl Reconnects {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl EventHook for Reconnects {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::Reconnected || TracingHook.wants(kind)
    }

    fn on_event(&self, event: &Event<'_>) {
        if event.kind() == EventKind::Reconnected {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        if TracingHook.wants(event.kind()) {
            TracingHook.on_event(event);
        }
    }
}

/// Connects, with the sabotage between the library and the broker where it is asked for.
pub(crate) async fn connect(args: &Args, reconnects: &Reconnects) -> pontoon::Result<Broker> {
    let mut builder = Broker::builder().hook(reconnects.clone());
    if let Some(how) = args.sabotage {
        let seed = args.seed;
        builder = builder.wrap(move |transport| sabotage::wrap(transport, how, NAME, seed));
    }
    // A fixture of the tests, which no feature of the library names: a broker that can be killed, nothing installed.
    if args.url.starts_with("memory-server://") {
        return Ok(builder.build(pontoon_memory_server::connect(&args.url).await?));
    }
    builder.connect(&args.url).await
}

/// Everything the queue holds, when the broker tells exactly.
pub(crate) async fn depth(broker: &Broker) -> Option<u64> {
    exact(broker.depth(&FLIGHTS).await)
}

fn exact(depth: pontoon::Result<DepthReport>) -> Option<u64> {
    let DepthReport { ready, delayed, in_flight, exact, .. } = depth.ok()?;
    exact.then(|| ready + delayed.unwrap_or(0) + in_flight.unwrap_or(0))
}

/// This run's dead letters, in the order of the input; `None` when they cannot be read.
pub(crate) async fn letters(broker: &Broker, run: u64) -> Option<Vec<Letter>> {
    // Where the broker knows how many there are, nobody waits to see whether one more comes.
    let count =
        exact(broker.depth(&DEAD).await).map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let listed = async { broker.dead_letters(FLIGHTS).await?.list(count).await };
    let listed = listed.await.inspect_err(|error| eprintln!("reading dead letters: {error}")).ok()?;
    let mut letters: Vec<Letter> = listed.iter().filter_map(|letter| read(letter, run)).collect();
    letters.sort_by_key(|letter| letter.seq);
    Some(letters)
}

/// A dead letter of this run.
fn read(letter: &DeadLetter, run: u64) -> Option<Letter> {
    let flight: Flight = serde_json::from_slice(&letter.message().body).ok()?;
    let reason = letter.reason();
    (flight.run == run).then(|| Letter {
        seq: flight.seq,
        reason: reason.map_or("unknown", ReasonKind::as_str).to_owned(),
        by_handler: matches!(reason, Some(ReasonKind::Rejected | ReasonKind::MaxAttempts)),
        words: letter.info().error.as_deref().unwrap_or_default().to_owned(),
    })
}
