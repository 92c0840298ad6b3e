//! Faults that tests ask for: seeded, each with a probability and a count.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;

use crate::clock::lock;

/// A thing that can go wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A message is stored, and its outcome is Unknown. Judged for each message published.
    LoseConfirm,
    /// A message is stored twice, the copies next to each other. Judged for each message published.
    Duplicate,
    /// A message cannot be received for a while, at most [`Faults::delivery_delay`]; on an ordered channel its key
    /// waits with it. Judged for each message published.
    DelayDelivery,
    /// A generation dies. A producer's: of what it was sending, a first part is stored and confirmed, a second stored
    /// and not confirmed, the rest not stored, and nothing after it. A consumer's: what it had out goes back, counted;
    /// of what it was settling, only a first part is done. Judged for each message published, and for each receive
    /// and each recording of settlements that has something to do.
    DropConnection,
    /// A lease of the queue that is worked on, chosen at random, ends early. Judged for each receive and each
    /// recording of settlements.
    ExpireLease,
    /// A channel that another channel names as its dead-letter channel refuses a message for now: Rejected with *try
    /// again*, or a replacement that comes back late as failed. Judged for each such message.
    RefuseDeadLetter,
    /// A settlement (an extension excepted) is recorded, not done, and comes back late as failed while its lease
    /// holds. Judged for each.
    FailSettle,
}

impl Fault {
    /// All faults.
    pub const ALL: [Fault; 7] = [
        Fault::LoseConfirm,
        Fault::Duplicate,
        Fault::DelayDelivery,
        Fault::DropConnection,
        Fault::ExpireLease,
        Fault::RefuseDeadLetter,
        Fault::FailSettle,
    ];
}

/// How likely a fault is each time it could happen, and how often it may.
///
/// As text, in settings: `0.05` (one in twenty), `1` (always), `1*3` (the first three times), `0.5*10`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "AsText")]
pub struct Chance {
    probability: f64,
    times: Option<u64>,
}

impl Chance {
    /// It does not happen.
    pub const NEVER: Chance = Chance { probability: 0.0, times: None };
    /// It happens every time.
    pub const ALWAYS: Chance = Chance { probability: 1.0, times: None };

    /// It happens with this probability, from 0 (never) to 1 (always); what lies outside counts as the nearer end.
    #[must_use]
    pub fn of(probability: f64) -> Self {
        Chance { probability: if probability.is_nan() { 0.0 } else { probability.clamp(0.0, 1.0) }, times: None }
    }

    /// And at most this many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    fn possible(self) -> bool {
        self.probability > 0.0 && self.times != Some(0)
    }
}

impl Default for Chance {
    fn default() -> Self {
        Chance::NEVER
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.probability)?;
        self.times.map_or(Ok(()), |times| write!(f, "*{times}"))
    }
}

impl FromStr for Chance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a chance; write a probability from 0 to 1, or with a count as in 1*3");
        let (probability, times) = match text.split_once('*') {
            Some((probability, times)) => (probability, Some(times.trim().parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let probability: f64 = probability.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=1.0).contains(&probability) {
            return Err(wrong());
        }
        Ok(Chance { probability, times })
    }
}

/// How a chance is written down.
#[derive(Deserialize)]
#[serde(untagged)]
enum AsText {
    Number(f64),
    Text(String),
}

impl TryFrom<AsText> for Chance {
    type Error = String;

    fn try_from(written: AsText) -> Result<Self, String> {
        match written {
            AsText::Number(number) => number.to_string().parse(),
            AsText::Text(text) => text.parse(),
        }
    }
}

/// The faults of one server, to be changed while it runs.
#[derive(Debug)]
pub struct Faults {
    /// Whether any fault is possible: all that the path of messages looks at while none is.
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    chances: [Chance; Fault::ALL.len()],
    happened: [u64; Fault::ALL.len()],
    delivery_delay: Duration,
}

impl Faults {
    pub(crate) fn new(seed: u64, delivery_delay: Duration, chances: &[(Fault, Chance)]) -> Self {
        let faults = Faults {
            active: AtomicBool::new(false),
            state: Mutex::new(State {
                random: fastrand::Rng::with_seed(seed),
                chances: [Chance::NEVER; Fault::ALL.len()],
                happened: [0; Fault::ALL.len()],
                delivery_delay,
            }),
        };
        for (fault, chance) in chances {
            faults.set(*fault, *chance);
        }
        faults
    }

    /// Lets a fault happen with this chance from now on.
    pub fn set(&self, fault: Fault, chance: Chance) {
        let mut state = lock(&self.state);
        state.chances[fault as usize] = chance;
        self.active.store(state.chances.iter().any(|c| c.possible()), Ordering::Release);
    }

    /// No fault happens from now on.
    pub fn clear(&self) {
        for fault in Fault::ALL {
            self.set(fault, Chance::NEVER);
        }
    }

    /// The longest that [`Fault::DelayDelivery`] holds a message back; each takes a random part of it.
    pub fn set_delivery_delay(&self, longest: Duration) {
        lock(&self.state).delivery_delay = longest;
    }

    /// The longest that [`Fault::DelayDelivery`] holds a message back.
    #[must_use]
    pub fn delivery_delay(&self) -> Duration {
        lock(&self.state).delivery_delay
    }

    /// How often a fault has happened.
    #[must_use]
    pub fn happened(&self, fault: Fault) -> u64 {
        lock(&self.state).happened[fault as usize]
    }

    /// Whether any fault is possible.
    pub(crate) fn active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// Whether this fault happens now.
    pub(crate) fn strike(&self, fault: Fault) -> bool {
        if !self.active() {
            return false;
        }
        let mut state = lock(&self.state);
        let chance = state.chances[fault as usize];
        // No random number for what is impossible: one knob's schedule must not depend on whether others are asked.
        if !chance.possible() || state.random.f64() >= chance.probability {
            return false;
        }
        state.happened[fault as usize] += 1;
        if let Some(times) = chance.times {
            state.chances[fault as usize].times = Some(times - 1);
        }
        true
    }

    /// A random number below `bound`, or 0.
    pub(crate) fn below(&self, bound: usize) -> usize {
        if bound == 0 { 0 } else { lock(&self.state).random.usize(..bound) }
    }

    /// How long a delivery is held back: more than nothing.
    pub(crate) fn delay(&self) -> Duration {
        let mut state = lock(&self.state);
        let part = 1.0 - state.random.f64();
        state.delivery_delay.mul_f64(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_read_and_written() {
        for text in ["0", "1", "0.05", "1*3", "0.5*10"] {
            assert_eq!(text.parse::<Chance>().map(|c| c.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "2", "-0.1", "NaN", "1*", "*3", "1*-1", "often"] {
            assert!(text.parse::<Chance>().is_err(), "{text}");
        }
        assert_eq!(Chance::of(f64::NAN), Chance::NEVER);
        assert_eq!(Chance::of(7.0), Chance::ALWAYS);
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_may_and_as_likely_as_it_should() {
        let faults = Faults::new(1, Duration::from_secs(1), &[(Fault::Duplicate, Chance::ALWAYS.times(3))]);
        let struck = (0..10).filter(|_| faults.strike(Fault::Duplicate)).count();
        assert_eq!((struck, faults.happened(Fault::Duplicate)), (3, 3));
        faults.set(Fault::LoseConfirm, Chance::of(0.25));
        let struck = (0..10_000).filter(|_| faults.strike(Fault::LoseConfirm)).count();
        assert!((2_200..2_800).contains(&struck), "{struck}");
        assert!(!faults.strike(Fault::FailSettle));
        faults.clear();
        assert!(!faults.active() && !faults.strike(Fault::LoseConfirm));
    }

    #[test]
    fn equal_seeds_strike_alike() {
        let strikes = |seed| {
            let faults = Faults::new(seed, Duration::from_secs(1), &[(Fault::Duplicate, Chance::of(0.5))]);
            (0..64).map(|_| faults.strike(Fault::Duplicate)).collect::<Vec<_>>()
        };
        assert_eq!(strikes(7), strikes(7));
        assert_ne!(strikes(7), strikes(8));
    }
}
