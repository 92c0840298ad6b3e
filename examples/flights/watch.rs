//! Tells how far the run is, and notices when it is over.

use std::time::Duration;

use pontoon::Broker;
use tokio::time::{Instant, interval};

use super::bridge;
use super::crew::Crew;
use super::desk::Office;
use super::stop::Stop;

/// How often progress is looked at, and told.
const LOOK: Duration = Duration::from_millis(20);
const TELL: Duration = Duration::from_millis(500);
/// Nothing happened for so long: ask the broker whether it holds anything at all.
const QUIET: Duration = Duration::from_secs(1);
/// Nothing happened for so long, and the broker cannot tell, or holds what it does not deliver.
const STUCK: Duration = Duration::from_secs(15);

/// Watches until it is time to stop, which it says itself when the run is over.
pub(crate) async fn watch(broker: &Broker, office: &Office, stop: &Stop, crew: &mut Crew) {
    let mut look = interval(LOOK);
    let (mut told, mut announced) = (Instant::now(), false);
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => break,
            true = crew.one_ended(stop) => stop.finish(),
            _ = look.tick() => {
                let all_sent = office.tally.is_all_sent();
                if told.elapsed() > TELL || (all_sent && !announced) {
                    eprintln!("{}", office.tally.line());
                    (told, announced) = (Instant::now(), all_sent);
                }
                if let Some(why) = stop.unless(over(broker, office)).await.flatten() {
                    eprintln!("{why}: draining");
                    stop.finish();
                }
            }
        }
    }
    eprintln!("{}", office.tally.line());
}

/// Why the run is over, if it is.
async fn over(broker: &Broker, office: &Office) -> Option<&'static str> {
    let tally = &office.tally;
    if !tally.is_all_sent() {
        return None;
    }
    if tally.is_through() {
        return Some("every flight came to its end");
    }
    // Some will never come. A handler at work is no silence.
    let quiet = tally.quiet();
    if quiet < QUIET || !tally.unended().is_empty() {
        return None;
    }
    if bridge::depth(broker).await == Some(0) {
        return Some("the broker holds nothing more");
    }
    (quiet > STUCK).then_some("nothing happens any more")
}
