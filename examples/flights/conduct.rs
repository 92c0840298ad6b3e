//! One run from connecting to closing: gathers the evidence, judges nothing.

use std::sync::Arc;

use super::args::Args;
use super::bridge::{self, Reconnects};
use super::crew::{self, Crew};
use super::desk::Office;
use super::flight::FLIGHTS;
use super::input::Record;
use super::publish::{OUTCOMES_BY, Published, publish};
use super::report::Letter;
use super::stop::Stop;
use super::watch::watch;

/// Shares of the time allowed for stopping, each measured from its beginning: what is asked of the broker after the
/// workers are gone, then closing. What remains is for the report.
const ANSWERS_BY: f64 = 0.9;
const CLOSED_BY: f64 = 0.95;

/// What the run brought to light.
#[derive(Debug)]
pub(crate) struct Ending {
    /// Per flight: whether the broker has it for certain.
    pub(crate) confirmed: Vec<bool>,
    /// What went wrong, in words.
    pub(crate) problems: Vec<String>,
    /// What lies in the dead-letter channel, when it could be read in time.
    pub(crate) letters: Option<Vec<Letter>>,
    /// What the queue holds of this run, when the broker tells exactly.
    pub(crate) depth: Option<u64>,
    /// How many deliveries reconnects explain.
    pub(crate) explained: u64,
}

impl Ending {
    fn before_publishing(flights: usize) -> Self {
        Ending { confirmed: vec![false; flights], problems: Vec::new(), letters: None, depth: None, explained: 0 }
    }
}

/// Runs.
///
/// # Errors
/// When the broker cannot be reached, or refuses the channel: nothing was published then.
pub(crate) async fn conduct(
    args: &Args,
    input: &[Record],
    office: &Arc<Office>,
    stop: &Stop,
) -> pontoon::Result<Ending> {
    let mut ending = Ending::before_publishing(input.len());
    let reconnects = Reconnects::default();
    // An interruption while the broker is being reached ends the run with nothing published.
    let opening = async {
        let broker = bridge::connect(args, &reconnects).await?;
        let publisher = broker.publisher(FLIGHTS).await?;
        let before = bridge::depth(&broker).await;
        Ok::<_, pontoon::Error>((broker, publisher, before))
    };
    let Some(opened) = stop.unless(opening).await else { return Ok(ending) };
    let (broker, publisher, before) = opened?;

    let mut crew = Crew::hire(args, &broker, office, stop);
    let watching = watch(&broker, office, stop, &mut crew);
    let publishing = async {
        let published = publish(&publisher, input, office, args.rate, stop).await;
        office.tally.all_sent();
        let report = publisher.close(stop.left(OUTCOMES_BY)).await;
        if report.abandoned > 0 {
            eprintln!("publisher: {report}");
        }
        published
    };
    let (Published { confirmed, problems: unconfirmed }, ()) = tokio::join!(publishing, watching);
    ending.confirmed = confirmed;
    if stop.interrupted() {
        // Expected then, and counted as unpublished.
        unconfirmed.iter().take(1).for_each(|first| eprintln!("{} not confirmed: {first}", unconfirmed.len()));
    } else {
        ending.problems = unconfirmed;
    }
    ending.problems.extend(crew.dismiss(office, stop).await);

    // Where something lay before, what lies there now is not all ours.
    if before == Some(0) {
        ending.depth = stop.within(ANSWERS_BY, bridge::depth(&broker)).await.flatten();
    }
    // After the depth: what moves to the dead letters meanwhile is then seen twice, and not in neither place.
    ending.letters = stop.within(ANSWERS_BY, bridge::letters(&broker, office.run)).await.flatten();
    // Each reconnect is that of one publisher or one worker, and explains what that had in flight.
    ending.explained = reconnects.count() * (crew::PREFETCH + bridge::UNCONFIRMED) as u64;
    if let Some(Err(error)) = stop.within(CLOSED_BY, broker.close()).await {
        eprintln!("closing: {error}");
    }
    Ok(ending)
}
