//! What strikes once: losses, breaks and cuts at a byte, and what was struck so far.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Direction;

/// What a proxy did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections that were accepted.
    pub connections: u64,
    /// Connections that were reset on purpose.
    pub resets: u64,
    /// Pieces that vanished.
    pub lost: u64,
    /// Bytes passed on to the broker.
    pub request_bytes: u64,
    /// Bytes passed on to the client.
    pub reply_bytes: u64,
}

/// What happens to a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// So many bytes of it pass.
    Pass(usize),
    /// So many bytes of it pass, then the connection is reset.
    Cut(usize),
}

/// Which pieces are lost or break off, where that was asked for.
pub type Picks = fn(Direction, &[u8]) -> bool;

#[derive(Debug)]
pub(super) struct Strikes {
    picks: Picks,
    armed: Mutex<Armed>,
}

#[derive(Debug)]
struct Armed {
    random: fastrand::Rng,
    counts: Counts,
    ways: [Way; 2],
    break_off: u64,
}

#[derive(Debug, Default)]
struct Way {
    lose: u64,
    cut_after: Option<u64>,
}

impl Strikes {
    pub(super) fn new(seed: u64, picks: Picks) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        let armed = Armed { random, counts: Counts::default(), ways: <[Way; 2]>::default(), break_off: 0 };
        Strikes { picks, armed: Mutex::new(armed) }
    }

    fn lock(&self) -> MutexGuard<'_, Armed> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counts(&self) -> Counts {
        self.lock().counts
    }

    pub(super) fn connected(&self) {
        self.lock().counts.connections += 1;
    }

    pub(super) fn reset(&self) {
        self.lock().counts.resets += 1;
    }

    pub(super) fn lose(&self, direction: Direction, pieces: u64) {
        self.lock().ways[direction as usize].lose = pieces;
    }

    pub(super) fn cut_after(&self, direction: Direction, bytes: Option<u64>) {
        self.lock().ways[direction as usize].cut_after = bytes;
    }

    pub(super) fn break_off(&self, pieces: u64) {
        self.lock().break_off = pieces;
    }

    /// A number between zero and one, for a jitter.
    pub(super) fn chance(&self) -> f64 {
        self.lock().random.f64()
    }

    /// What happens to the next piece, which is not empty.
    pub(super) fn fate(&self, direction: Direction, piece: &[u8]) -> Fate {
        let bytes = piece.len();
        let picked = (self.picks)(direction, piece);
        let armed = &mut *self.lock();
        let way = &mut armed.ways[direction as usize];
        let fate = if let Some(lose) = way.lose.checked_sub(1).filter(|_| picked) {
            way.lose = lose;
            armed.counts.lost += 1;
            Fate::Cut(0)
        } else if way.cut_after.is_some_and(|left| left < bytes as u64) {
            Fate::Cut(way.cut_after.take().unwrap_or_default() as usize)
        } else if picked && armed.break_off > 0 && armed.random.u8(..4) == 0 {
            // Not always at once, so that it strikes in the middle of something.
            armed.break_off -= 1;
            Fate::Cut(armed.random.usize(..bytes))
        } else {
            Fate::Pass(bytes)
        };
        let (Fate::Pass(passes) | Fate::Cut(passes)) = fate;
        let passes = passes as u64;
        if let Some(left) = &mut way.cut_after {
            *left -= passes.min(*left);
        }
        match direction {
            Direction::Request => armed.counts.request_bytes += passes,
            Direction::Reply => armed.counts.reply_bytes += passes,
        }
        fate
    }
}
