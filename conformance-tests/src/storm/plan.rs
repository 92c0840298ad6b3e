//! How hard, and how long.

use std::time::Duration;

use pontoon_core::Retry;

use super::Strike;

/// What a storm consists of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// How often the broker is killed and started again, where the site can do that.
    pub kills: usize,
    /// How often connections are cut, in whichever ways the site can.
    pub cuts: usize,
    /// The least number of messages that must have been confirmed.
    pub messages: u64,
    /// The most messages that all publishers together issue in a second.
    pub rate: u32,
    /// Publishers, each with a connection of its own.
    pub publishers: usize,
    /// What a publisher has under way at once, in messages.
    pub batch: usize,
    /// Consumers of each source, each with a connection of its own.
    pub consumers: usize,
    /// More of them for each source, which stay for a second or so, leave in order, and come again: each time the work is
    /// shared anew.
    pub guests: usize,
    /// Tasks that handle what one consumer delivers.
    pub handlers: usize,
    /// What a consumer may have unsettled, in messages.
    pub prefetch: usize,
    /// Load between the end of a kill and the next blow.
    pub load_after_kill: Duration,
    /// How long the end may take, before scaling: reading everything that is left.
    pub patience: Duration,
}

impl Plan {
    /// The short form: five kills and twenty cuts, within a minute or two.
    #[must_use]
    pub fn short() -> Self {
        Plan {
            kills: 5,
            cuts: 20,
            messages: 5_000,
            rate: 2_000,
            publishers: 2,
            batch: 32,
            consumers: 2,
            guests: 0,
            handlers: 4,
            prefetch: 32,
            load_after_kill: Duration::from_millis(300),
            patience: Duration::from_secs(60),
        }
    }

    /// The long form.
    #[must_use]
    pub fn campaign(kills: usize, cuts: usize) -> Self {
        let (load_after_kill, patience) = (Duration::from_secs(3), Duration::from_secs(300));
        // The load lasts for long, and all of it is judged as one history.
        Plan { kills, cuts, load_after_kill, patience, rate: 500, guests: 1, ..Plan::short() }
    }

    /// Until at least so many messages were confirmed, at this rate per second.
    #[must_use]
    pub fn with_load(self, messages: u64, rate: u32) -> Self {
        Plan { messages, rate, ..self }
    }

    /// With so many consumers of each source that come and go.
    #[must_use]
    pub fn with_guests(self, guests: usize) -> Self {
        Plan { guests, ..self }
    }

    /// How handlers retry.
    pub(super) fn retry() -> Retry {
        Retry::exponential(Duration::from_millis(5), Duration::from_millis(50)).attempts(5)
    }

    /// How many messages may come again because of one fault: what consumers held, and what publishers had under way.
    pub(super) fn window(&self, sources: usize) -> u64 {
        (sources * ((self.consumers + self.guests) * self.prefetch + self.publishers * self.batch)) as u64
    }

    /// How many of the strikes count, and how many must: all of them but one in ten, for what falls into a lull.
    pub(super) fn effective(strikes: &[Strike], planned: usize) -> (usize, usize) {
        (strikes.iter().filter(|strike| strike.is_effective()).count(), planned - planned / 10)
    }
}
