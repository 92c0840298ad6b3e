//! A consumer as the server knows it: a name in a group, and the leases under which it holds messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pontoon_core::{ChannelKind, Source};

use crate::RedisConfig;
use crate::facts;
use crate::keys::Keys;
use crate::resp::command;
use crate::scripts::LEAVE;

/// What a consumer reads, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) group: String,
    /// The streams of the channel.
    pub(crate) shards: Vec<Keys>,
    /// The key of those who share them.
    pub(crate) members: String,
    /// Whether each stream has one owner.
    pub(crate) ordered: bool,
    /// Whether what all subscriptions have settled is removed: of another program's stream nothing is.
    pub(crate) trims: bool,
    /// Whether a settled entry is deleted: nobody else has a right to it.
    pub(crate) delete: bool,
    /// How long a message is kept; 0 until it is settled.
    pub(crate) retention_ms: u64,
    pub(crate) lease: Duration,
}

impl Reading {
    pub(crate) fn of(source: &Source, config: &RedisConfig) -> Self {
        let channel = &source.channel;
        let topic = channel.kind == ChannelKind::Topic;
        let shards = facts::shards(channel);
        let group = group(source, config);
        Reading {
            members: Keys::of(channel.name.as_str()).members(group),
            group: group.to_owned(),
            shards: (0..shards).map(|shard| Keys::of_shard(channel.name.as_str(), shard, shards)).collect(),
            ordered: channel.order.is_ordered(),
            trims: topic && !channel.existing,
            delete: !topic && !channel.existing,
            // Of another program's stream nothing is ours to remove.
            retention_ms: if channel.existing { 0 } else { facts::retention_ms(channel) },
            lease: config.lease,
        }
    }

    /// Whether members share the streams.
    pub(crate) fn is_shared(&self) -> bool {
        self.ordered && self.shards.len() > 1
    }

    /// The key of the lease under which a consumer holds messages of a shard.
    pub(crate) fn lease_key(&self, shard: usize, consumer: &str) -> String {
        let keys = &self.shards[shard];
        if self.ordered { keys.owner(&self.group) } else { keys.lease(&format!("{}--{consumer}", self.group)) }
    }

    /// What the leases of all consumers of a shard begin with.
    pub(crate) fn lease_prefix(&self, shard: usize) -> String {
        format!("{}{}--", self.shards[shard].leases(), self.group)
    }
}

/// The consumer group of a source.
fn group<'a>(source: &'a Source, config: &'a RedisConfig) -> &'a str {
    source.subscription.as_ref().map_or(config.group.as_str(), |subscription| subscription.name.as_str())
}

/// One consumer of one generation.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) reading: Reading,
    /// Nobody works with it any more.
    gone: AtomicBool,
    /// What it held was given back.
    left: AtomicBool,
}

impl Member {
    pub(super) fn new(name: String, reading: Reading) -> Self {
        Member { name, reading, gone: AtomicBool::new(false), left: AtomicBool::new(false) }
    }

    /// Writes down what makes it leave; how many answers that has.
    pub(crate) fn put_leave(&self, to: &mut Vec<u8>) -> usize {
        put_leave(&self.name, &self.reading, to)
    }

    /// It has left: nothing is to be given back any more.
    pub(crate) fn has_left(&self) {
        self.left.store(true, Ordering::Release);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    pub(super) fn goes(&self) {
        self.gone.store(true, Ordering::Release);
    }
}

fn put_leave(name: &str, reading: &Reading, to: &mut Vec<u8>) -> usize {
    (0..reading.shards.len()).for_each(|shard| put_leave_one(name, reading, shard, to));
    if !reading.is_shared() {
        return reading.shards.len();
    }
    // Last, so that nobody takes a larger share before there is something to take.
    command(to, &[b"ZREM", reading.members.as_bytes(), name.as_bytes()]);
    reading.shards.len() + 1
}

/// Writes down what makes a consumer leave one stream.
pub(super) fn put_leave_one(name: &str, reading: &Reading, shard: usize, to: &mut Vec<u8>) {
    let lease = reading.lease_key(shard, name);
    LEAVE.call(to, &[&reading.shards[shard].stream, &lease], &[reading.group.as_bytes(), name.as_bytes()]);
}
