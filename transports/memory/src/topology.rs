//! What the server holds: channels with their facts, and whether a declaration agrees with them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use pontoon_core::{Channel, ChannelKind, ChannelName, Result, Text};

use crate::error;
use crate::queue::Queue;

/// A topic: its subscriptions, each a queue of its own. It keeps nothing itself.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: u64,
    pub(crate) inner: Mutex<TopicState>,
}

#[derive(Debug, Default)]
pub(crate) struct TopicState {
    pub(crate) subscriptions: Vec<(ChannelName, Arc<Queue>)>,
    next_uid: u64,
    pub(crate) gone: bool,
}

static NEXT_TOPIC: AtomicU64 = AtomicU64::new(1);

impl Topic {
    pub(crate) fn new() -> Self {
        Topic { id: NEXT_TOPIC.fetch_add(1, Ordering::Relaxed), inner: Mutex::default() }
    }
}

impl TopicState {
    /// The number of the next message: the same in every subscription.
    pub(crate) fn take_uid(&mut self) -> u64 {
        self.next_uid += 1;
        self.next_uid
    }

    /// Numbers of messages to come are not below this.
    pub(crate) fn count_from(&mut self, number: u64) {
        self.next_uid = self.next_uid.max(number.saturating_sub(1));
    }

    pub(crate) fn subscription(&self, name: &str) -> Option<&Arc<Queue>> {
        self.subscriptions.iter().find(|(known, _)| known.as_str() == name).map(|(_, queue)| queue)
    }
}

/// Where what is published to a channel goes.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    Queue(Arc<Queue>),
    Topic(Arc<Topic>),
}

/// A channel with its facts.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) facts: Channel,
    pub(crate) route: Route,
    /// Declared only because another channel names it as its dead-letter channel.
    pub(crate) implied: bool,
}

/// All channels, by name.
pub(crate) type Channels = RwLock<hashbrown::HashMap<Text, Held>>;

pub(crate) fn read(channels: &Channels) -> std::sync::RwLockReadGuard<'_, hashbrown::HashMap<Text, Held>> {
    channels.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write(channels: &Channels) -> std::sync::RwLockWriteGuard<'_, hashbrown::HashMap<Text, Held>> {
    channels.write().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn kind_name(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Queue => "queue",
        ChannelKind::Topic => "topic",
    }
}

/// Whether a declaration agrees with what is held.
///
/// # Errors
/// `Conflict` naming the first differing field with both values.
pub(crate) fn agree(held: &Channel, asked: &Channel) -> Result<()> {
    let name = held.name.as_str();
    if held.kind != asked.kind {
        return Err(error::differs(name, "kind", kind_name(held.kind), kind_name(asked.kind)));
    }
    if asked.existing {
        return Ok(());
    }
    let debug = |value: &dyn std::fmt::Debug| format!("{value:?}");
    if held.order != asked.order {
        return Err(error::differs(name, "order", debug(&held.order), debug(&asked.order)));
    }
    // One shard is what this transport does by itself.
    let (shards, wanted) = (held.shards.unwrap_or(1), asked.shards.unwrap_or(1));
    if shards != wanted {
        return Err(error::differs(name, "shards", shards, wanted));
    }
    if held.dead_letter != asked.dead_letter {
        return Err(error::differs(name, "dead_letter", debug(&held.dead_letter), debug(&asked.dead_letter)));
    }
    if held.retention != asked.retention {
        return Err(error::differs(name, "retention", debug(&held.retention), debug(&asked.retention)));
    }
    if held.delivery_ceiling != asked.delivery_ceiling {
        let (held, asked) = (held.delivery_ceiling, asked.delivery_ceiling);
        return Err(error::differs(name, "delivery_ceiling", held, asked));
    }
    Ok(())
}
