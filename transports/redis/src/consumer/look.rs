//! What the receiver asks the server, and when.

use std::time::{Duration, Instant};

use crate::entry::Id;
use crate::resp::{array, bulk, number};
use crate::scripts;

use super::member::Member;
use super::streams::Stream;

/// The most entries that one read brings.
const MOST: usize = 512;
/// How often a topic is trimmed.
pub(super) const TRIM_EVERY: Duration = Duration::from_secs(1);

/// Things to do now and then, each with its next moment.
#[derive(Debug)]
pub(super) struct Rounds {
    every: Duration,
    lease: Duration,
    pub(super) at: Instant,
    orphans_at: Instant,
    trim_at: Instant,
}

impl Rounds {
    pub(super) fn new(every: Duration, lease: Duration) -> Self {
        let now = Instant::now();
        Rounds { every, lease, at: now, orphans_at: now, trim_at: now + TRIM_EVERY }
    }

    /// Goes on to the next round: whether orphans are looked for, and whether to trim, in this one.
    fn next(&mut self, now: Instant) -> (bool, bool) {
        self.at = now + self.every;
        let (orphans, trim) = (self.orphans_at <= now, self.trim_at <= now);
        if orphans {
            // Those of a lease that has just run out are found within an eighth of it.
            self.orphans_at = now + (self.lease / 8).max(self.every);
        }
        if trim {
            self.trim_at = now + TRIM_EVERY;
        }
        (orphans, trim)
    }
}

/// The server's clock, as far as it is known here.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerClock {
    pub(super) ms: u64,
    pub(super) at: Instant,
}

impl ServerClock {
    pub(super) fn now(&self) -> u64 {
        self.ms + self.at.elapsed().as_millis() as u64
    }
}

fn flag(is: bool) -> &'static [u8] {
    if is { b"1" } else { b"0" }
}

/// Asks for what is due, given back or left behind on an unordered channel.
pub(super) fn sweep(member: &Member, rounds: &mut Rounds, max: usize, skipped: &[Id], to: &mut Vec<u8>) {
    let reading = &member.reading;
    let keys = &reading.shards[0];
    let (orphans, trim) = rounds.next(Instant::now());
    let lease = reading.lease_key(0, &member.name);
    scripts::SWEEP.begin(to, &[&keys.stream, &lease, &keys.held, &keys.due], 8 + skipped.len());
    bulk(to, reading.group.as_bytes());
    bulk(to, member.name.as_bytes());
    number(to, reading.lease.as_millis() as u64);
    number(to, max.min(MOST) as u64);
    bulk(to, reading.lease_prefix(0).as_bytes());
    bulk(to, flag(orphans));
    bulk(to, flag(trim && reading.trims));
    number(to, if trim { reading.retention_ms } else { 0 });
    skipped.iter().for_each(|id| id.put(to));
}

/// Asks for one stream of an ordered channel, and for what is in it.
pub(super) fn own(member: &Member, shard: usize, stream: &mut Stream, max: usize, to: &mut Vec<u8>) {
    let reading = &member.reading;
    let keys = &reading.shards[shard];
    let trim = stream.is_to_trim(Instant::now());
    let owner = reading.lease_key(shard, &member.name);
    scripts::OWN.begin(to, &[&keys.stream, &owner, &keys.held, &keys.due], 7 + stream.skipped.len());
    bulk(to, reading.group.as_bytes());
    bulk(to, member.name.as_bytes());
    number(to, reading.lease.as_millis() as u64);
    number(to, max.min(MOST) as u64);
    bulk(to, flag(stream.owned));
    bulk(to, flag(trim && reading.trims));
    number(to, if trim { reading.retention_ms } else { 0 });
    stream.skipped.drain(..).for_each(|id| id.put(to));
}

/// Reads what is new on an unordered channel, and waits for it.
pub(super) fn read(member: &Member, max: usize, wait: Duration, to: &mut Vec<u8>) {
    array(to, 11);
    bulk(to, b"XREADGROUP");
    bulk(to, b"GROUP");
    bulk(to, member.reading.group.as_bytes());
    bulk(to, member.name.as_bytes());
    bulk(to, b"COUNT");
    number(to, max.min(MOST) as u64);
    bulk(to, b"BLOCK");
    number(to, (wait.as_millis() as u64).max(1));
    bulk(to, b"STREAMS");
    bulk(to, member.reading.shards[0].stream.as_bytes());
    bulk(to, b">");
}

/// Waits until one of the streams that are owned has more than was read. Without any the server is only a clock.
pub(super) fn wait(member: &Member, read_up_to: &[(usize, String)], wait: Duration, to: &mut Vec<u8>) {
    let shards = &member.reading.shards;
    if read_up_to.is_empty() {
        array(to, 3);
        bulk(to, b"BLPOP");
        bulk(to, shards[0].nothing().as_bytes());
        return bulk(to, format!("{:.3}", wait.as_secs_f64()).as_bytes());
    }
    array(to, 6 + 2 * read_up_to.len());
    bulk(to, b"XREAD");
    bulk(to, b"COUNT");
    bulk(to, b"1");
    bulk(to, b"BLOCK");
    number(to, (wait.as_millis() as u64).max(1));
    bulk(to, b"STREAMS");
    read_up_to.iter().for_each(|(shard, _)| bulk(to, shards[*shard].stream.as_bytes()));
    read_up_to.iter().for_each(|(_, id)| bulk(to, id.as_bytes()));
}
