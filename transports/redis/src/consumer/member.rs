//! A consumer as the server knows it: a name in a group, and the leases under which it holds messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use pontoon_core::{ChannelKind, Result, Source};

use crate::RedisConfig;
use crate::facts;
use crate::keys::Keys;
use crate::resp::command;
use crate::scripts::LEAVE;
use crate::socket::Socket;

/// The most names of consumers that are kept until somebody reads their source again.
const ORPHANS: usize = 1024;

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
    pub(crate) topic: bool,
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
            topic,
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

/// One consumer of one generation. When it is dropped without having left, its name is kept, so that what it held is
/// given back as soon as the server can be reached again.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) reading: Reading,
    left: AtomicBool,
    members: Arc<Members>,
}

/// An orphan: a consumer that is gone, and what it read.
#[derive(Debug)]
struct Orphan {
    name: String,
    reading: Reading,
}

/// The consumers of one transport.
#[derive(Debug, Default)]
pub(crate) struct Members {
    orphans: Mutex<Vec<Orphan>>,
    all: Mutex<Vec<Weak<Member>>>,
}

impl Member {
    /// Writes down what makes a consumer leave.
    pub(crate) fn put_leave(&self, to: &mut Vec<u8>) -> usize {
        put_leave(&self.name, &self.reading, to)
    }

    /// It has left: nothing is to be given back any more.
    pub(crate) fn has_left(&self) {
        self.left.store(true, Ordering::Release);
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

impl Drop for Member {
    fn drop(&mut self) {
        if self.left.load(Ordering::Acquire) || self.name.is_empty() {
            return;
        }
        let none = Reading {
            group: String::new(),
            shards: Vec::new(),
            members: String::new(),
            ordered: false,
            topic: false,
            delete: false,
            retention_ms: 0,
            lease: Duration::ZERO,
        };
        let orphan =
            Orphan { name: std::mem::take(&mut self.name), reading: std::mem::replace(&mut self.reading, none) };
        let mut orphans = self.members.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody asks for are found by their lease.
        if orphans.len() == ORPHANS {
            orphans.remove(0);
        }
        orphans.push(orphan);
    }
}

impl Members {
    /// A new consumer; no other has its name, now or later.
    pub(crate) fn join(self: &Arc<Self>, reading: Reading, generation: u32) -> Arc<Member> {
        let random = pontoon_core::os_seed();
        let name = format!("pontoon-{random:016x}-{generation}");
        let member = Arc::new(Member { name, reading, left: AtomicBool::new(false), members: self.clone() });
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(&member));
        member
    }

    /// Gives back what consumers of this process held that are gone without having left, of one source.
    ///
    /// # Errors
    /// Of the connection; they are then kept.
    pub(crate) async fn bury(&self, reading: &Reading, socket: &mut Socket) -> Result<()> {
        let mut gone: Vec<Orphan> = {
            let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
            orphans.extract_if(.., |orphan| orphan.reading == *reading).collect()
        };
        while let Some(orphan) = gone.pop() {
            if let Err(error) = leave(&orphan.name, &orphan.reading, socket).await {
                gone.push(orphan);
                self.orphans.lock().unwrap_or_else(PoisonError::into_inner).append(&mut gone);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Makes all consumers leave: the transport closes.
    ///
    /// # Errors
    /// Of the connection.
    pub(crate) async fn leave_all(&self, socket: &mut Socket) -> Result<()> {
        let alive: Vec<Arc<Member>> = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *all).iter().filter_map(Weak::upgrade).collect()
        };
        for member in alive {
            leave(&member.name, &member.reading, socket).await?;
            member.has_left();
        }
        let gone = std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner));
        for orphan in gone {
            leave(&orphan.name, &orphan.reading, socket).await?;
        }
        Ok(())
    }

    /// Whether there is anybody to leave.
    pub(crate) fn is_empty(&self) -> bool {
        let none = |all: &Vec<Weak<Member>>| all.iter().all(|member| member.strong_count() == 0);
        none(&self.all.lock().unwrap_or_else(PoisonError::into_inner))
            && self.orphans.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

async fn leave(name: &str, reading: &Reading, socket: &mut Socket) -> Result<()> {
    let count = put_leave(name, reading, socket.out());
    for _ in 0..count {
        socket.answer("close consumer").await?;
    }
    Ok(())
}
