//! The streams of an ordered channel, as one member sees them: which are its own, and which it gives up to those who came
//! later.

use std::time::{Duration, Instant};

use crate::entry::Id;
use crate::resp::{bulk, number};
use crate::scripts;

use super::look::TRIM_EVERY;
use super::member::{self, Member};

/// The longest that a member waits before it asks for its share again.
const SHARE_EVERY: Duration = Duration::from_secs(1);

/// One stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) owned: bool,
    pub(super) held: bool,
    /// It is another's share: nothing more is read of it, and it goes once nothing of it is out.
    pub(super) leaving: bool,
    /// How far it was read.
    pub(super) read_up_to: String,
    pub(super) skipped: Vec<Id>,
    /// When to trim it; each has its turn, whichever is asked for first.
    trim_at: Option<Instant>,
}

impl Stream {
    /// Whether to trim it now. A consumer that has just come need not.
    pub(super) fn is_to_trim(&mut self, now: Instant) -> bool {
        let due = self.trim_at.is_some_and(|at| at <= now);
        if due || self.trim_at.is_none() {
            self.trim_at = Some(now + TRIM_EVERY);
        }
        due
    }
}

/// What comes next in a turn through all streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask for the share.
    Share,
    /// Take, keep and read this one.
    Own(usize),
    /// Give this one up.
    Give(usize),
    /// All were asked, and none had anything.
    Wait,
}

/// All streams of a channel. An unordered channel has one, which nobody owns.
#[derive(Debug)]
pub(super) struct Streams {
    all: Vec<Stream>,
    /// The next one to ask for; all were asked when it is their number.
    turn: usize,
    /// Whether this turn brought anything.
    found: bool,
    /// How many may be owned.
    share: usize,
    /// When to ask for the share again; one stream alone is not shared.
    share_at: Option<Instant>,
    share_every: Duration,
}

impl Streams {
    pub(super) fn new(count: usize, look_every: Duration, lease: Duration) -> Self {
        Streams {
            all: (0..count).map(|_| Stream::default()).collect(),
            turn: 0,
            found: false,
            share: if count > 1 { 0 } else { 1 },
            share_at: (count > 1).then(Instant::now),
            share_every: (lease / 8).min(SHARE_EVERY).max(look_every),
        }
    }

    pub(super) fn at(&mut self, stream: usize) -> &mut Stream {
        &mut self.all[stream]
    }

    pub(super) fn get_mut(&mut self, stream: usize) -> Option<&mut Stream> {
        self.all.get_mut(stream)
    }

    /// Something arrived in this turn: there may be more.
    pub(super) fn found(&mut self) {
        self.found = true;
    }

    /// What comes next; `is_out` tells whether messages of a stream are out.
    pub(super) fn step(&mut self, now: Instant, is_out: impl Fn(usize) -> bool) -> Step {
        if self.share_at.is_some_and(|at| at <= now) {
            return Step::Share;
        }
        let mut owned = self.all.iter().filter(|stream| stream.owned).count();
        loop {
            while let Some(stream) = self.all.get(self.turn) {
                if stream.leaving && !is_out(self.turn) {
                    return Step::Give(self.turn);
                }
                if stream.owned || owned < self.share {
                    return Step::Own(self.turn);
                }
                self.turn += 1;
            }
            if !std::mem::take(&mut self.found) {
                return Step::Wait;
            }
            self.turn = 0;
            owned = self.all.iter().filter(|stream| stream.owned).count();
        }
    }

    /// This stream was asked for.
    pub(super) fn went_on(&mut self) {
        self.turn += 1;
    }

    /// The wait between two turns is over.
    pub(super) fn begin_turn(&mut self) {
        (self.turn, self.found) = (0, false);
    }

    /// So many are this member's share: those that have to go, which are marked as leaving now.
    pub(super) fn share(&mut self, share: usize, now: Instant, out: impl Fn(usize) -> usize) -> Vec<usize> {
        self.share = share;
        self.share_at = Some(now + self.share_every);
        let mut kept: Vec<usize> =
            (0..self.all.len()).filter(|at| self.all[*at].owned && !self.all[*at].leaving).collect();
        // Those with the least to wait for.
        kept.sort_by_key(|at| out(*at));
        kept.truncate(kept.len().saturating_sub(share));
        kept.iter().for_each(|at| self.all[*at].leaving = true);
        kept
    }

    /// It was given up.
    pub(super) fn gave(&mut self, stream: usize) {
        self.all[stream] = Stream { held: self.all[stream].held, ..Stream::default() };
    }

    /// Those that are read, each with how far it was.
    pub(super) fn read(&self) -> Vec<(usize, String)> {
        let read = |stream: &Stream| stream.owned && !stream.held && !stream.leaving;
        let all = self.all.iter().enumerate().filter(|(_, stream)| read(stream));
        all.map(|(at, stream)| (at, stream.read_up_to.clone())).collect()
    }
}

/// Asks for the share.
pub(super) fn ask(member: &Member, to: &mut Vec<u8>) {
    let reading = &member.reading;
    scripts::SHARE.begin(to, &[&reading.members], 3);
    bulk(to, member.name.as_bytes());
    number(to, reading.lease.as_millis() as u64);
    number(to, reading.shards.len() as u64);
}

/// Gives up one stream.
pub(super) fn give(member: &Member, stream: usize, to: &mut Vec<u8>) {
    member::put_leave_one(&member.name, &member.reading, stream, to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(count: usize) -> (Streams, Instant) {
        let now = Instant::now();
        (Streams::new(count, Duration::from_millis(100), Duration::from_secs(30)), now + Duration::from_millis(1))
    }

    /// Goes through one turn; each stream that is asked for is had when `had` says so.
    fn turn(streams: &mut Streams, now: Instant, had: impl Fn(usize) -> bool) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let step = streams.step(now, |_| false);
            steps.push(step);
            match step {
                Step::Own(at) => {
                    streams.at(at).owned = had(at);
                    streams.went_on();
                }
                Step::Give(at) => {
                    streams.gave(at);
                    streams.went_on();
                }
                Step::Share | Step::Wait => {
                    streams.begin_turn();
                    return steps;
                }
            }
        }
    }

    #[test]
    fn nothing_is_taken_before_the_share_is_known_and_no_more_than_it() {
        let (mut streams, now) = streams(4);
        assert_eq!(turn(&mut streams, now, |_| true), [Step::Share]);
        assert!(streams.share(2, now, |_| 0).is_empty());
        // The first is another's.
        let first = turn(&mut streams, now, |at| at > 0);
        assert_eq!(first, [Step::Own(0), Step::Own(1), Step::Own(2), Step::Wait]);
        assert_eq!(
            turn(&mut streams, now, |_| true),
            [Step::Own(1), Step::Own(2), Step::Wait],
            "only its own are kept"
        );
        assert_eq!(streams.step(now + SHARE_EVERY, |_| false), Step::Share);
    }

    #[test]
    fn what_is_over_the_share_goes_once_nothing_of_it_is_out() {
        let (mut streams, now) = streams(3);
        streams.share(3, now, |_| 0);
        turn(&mut streams, now, |_| true);
        assert_eq!(streams.read().len(), 3);
        assert_eq!(streams.share(1, now, |at| [1, 0, 2][at]), [1, 0], "those with the least out");
        assert!(streams.share(1, now, |_| 0).is_empty(), "once");
        assert_eq!(streams.read().iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2], "what leaves is not waited for");
        assert_eq!(streams.step(now, |at| at == 0), Step::Own(0), "kept while something of it is out");
        streams.went_on();
        assert_eq!(streams.step(now, |at| at == 0), Step::Give(1));
        streams.gave(1);
        streams.went_on();
        assert_eq!(streams.step(now, |at| at == 0), Step::Own(2));
        streams.begin_turn();
        assert_eq!(turn(&mut streams, now, |_| true), [Step::Give(0), Step::Own(2), Step::Wait]);
    }

    #[test]
    fn one_stream_alone_is_not_shared_and_a_turn_that_found_something_is_repeated() {
        let (mut streams, now) = streams(1);
        assert_eq!(streams.step(now, |_| false), Step::Own(0));
        streams.at(0).owned = true;
        streams.found();
        streams.went_on();
        assert_eq!(turn(&mut streams, now, |_| true), [Step::Own(0), Step::Wait]);
    }
}
