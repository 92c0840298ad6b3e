//! The "broker": one process-wide server by name, or a private one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};

use pontoon_core::driver::Ensure;
use pontoon_core::{Channel, ChannelKind, Error, ErrorKind, Result, Retention, Source, Subscription, os_seed};

use crate::clock::{Clock, lock, nanos};
use crate::config::MemoryConfig;
use crate::error;
use crate::faults::Faults;
use crate::link::Connection;
use crate::queue::{Queue, QueueSnapshot, Restored, Rules};
use crate::topology::{Channels, Held, Route, Topic, agree, read, write};
use crate::wakes::Wakes;

/// An in-process message server. Cheap to clone; what it holds goes with the last clone and the last connection.
#[derive(Clone, Debug)]
pub struct MemoryServer(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: MemoryConfig,
    pub(crate) clock: Clock,
    pub(crate) channels: Channels,
    pub(crate) faults: Faults,
    pub(crate) connections: Mutex<Vec<Weak<Connection>>>,
}

/// Servers by name: those of `memory://name`.
static NAMED: Mutex<Option<HashMap<String, Weak<Shared>>>> = Mutex::new(None);

impl Default for MemoryServer {
    fn default() -> Self {
        Self::new(MemoryConfig::default())
    }
}

impl MemoryServer {
    /// A server of its own.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        MemoryServer(Arc::new(Shared {
            faults: config.faults(),
            config,
            clock: Clock::start(),
            channels: Channels::default(),
            connections: Mutex::default(),
        }))
    }

    /// The server that everybody in this process who uses this name shares. It lives as long as somebody holds it or
    /// a connection to it.
    ///
    /// # Errors
    /// `InvalidConfig` for an empty name, and when the server exists with other settings; settings that are all at
    /// their defaults join any.
    pub fn named(name: &str, config: MemoryConfig) -> Result<Self> {
        if name.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "connect", "a shared memory server needs a name"));
        }
        let mut named = lock(&NAMED);
        let named = named.get_or_insert_default();
        if let Some(shared) = named.get(name).and_then(Weak::upgrade) {
            if config != MemoryConfig::default() && config != shared.config {
                return Err(Error::new(
                    ErrorKind::InvalidConfig,
                    "connect",
                    "this process already has a memory server of that name, with other settings",
                )
                .with("server", name)
                .with_help("give the settings once, or use another name"));
            }
            return Ok(MemoryServer(shared));
        }
        named.retain(|_, server| server.strong_count() > 0);
        let server = Self::new(config);
        named.insert(name.to_owned(), Arc::downgrade(&server.0));
        Ok(server)
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &MemoryConfig {
        &self.0.config
    }

    /// The faults it makes on purpose: none until they are set.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> pontoon_core::Result<()> {
    /// use pontoon_core::Channel;
    /// use pontoon_core::driver::{Ensure, Transport};
    /// use pontoon_memory::{Chance, Fault, MemoryServer, MemoryTransport};
    ///
    /// let server = MemoryServer::default();
    /// // Of what is published from now on, a tenth is stored twice, and the first three confirmations are lost.
    /// server.faults().set(Fault::Duplicate, Chance::of(0.1));
    /// server.faults().set(Fault::LoseConfirm, Chance::ALWAYS.times(3));
    ///
    /// let transport = MemoryTransport::new(&server); // what the application under test connects to
    /// transport.ensure(&Ensure::new(Channel::queue("orders")?)).await?;
    /// // … run it, then look at what the server holds:
    /// assert_eq!(server.queue("orders").map(|queue| queue.messages.len()), Some(0));
    /// assert_eq!(server.faults().happened(Fault::LoseConfirm), 0);
    /// server.faults().clear();
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// Declares a channel as another program would: also one under a native name, for [`Channel::existing`] to find.
    ///
    /// # Errors
    /// `Conflict` naming the differing field with both values.
    pub fn declare(&self, what: &Ensure) -> Result<()> {
        let mut what = what.clone();
        what.channel.existing = false;
        self.ensure(&what)
    }

    /// Puts messages back that an earlier server held, in the order of their places, behind what is there. They keep
    /// their numbers; those of messages to come are not below `next_number`, which is above theirs. For a server that
    /// keeps its messages elsewhere as well, before anybody connects. A topic without a subscription named holds
    /// nothing: of it only the numbers are put back.
    ///
    /// # Errors
    /// `NotFound` where there is no such channel, or no such subscription of such a topic.
    pub fn restore(
        &self,
        channel: &str,
        subscription: Option<&str>,
        messages: impl IntoIterator<Item = Restored>,
        next_number: u64,
    ) -> Result<()> {
        let queue = match (self.0.route(channel), subscription) {
            (Some(Route::Queue(queue)), None) => {
                queue.lock().count_from(next_number);
                Some(queue)
            }
            (Some(Route::Topic(topic)), name) => {
                let mut topic = lock(&topic.inner);
                topic.count_from(next_number);
                match name {
                    Some(name) => topic.subscription(name).cloned(),
                    None => return Ok(()),
                }
            }
            _ => None,
        };
        let queue = queue.ok_or_else(|| {
            let missing = error::no_such_channel("restore", channel);
            subscription.map_or(missing.clone(), |name| missing.with("subscription", name))
        })?;
        let now = queue.clock.now();
        let mut wakes = Wakes::default();
        {
            let mut state = queue.lock();
            messages.into_iter().for_each(|message| state.restore(message, now, &mut wakes));
            state.wake_ready(&mut wakes);
        }
        wakes.wake();
        Ok(())
    }

    /// Removes a channel with everything it holds. Who publishes to it is refused from now on, who reads from it
    /// learns that it is gone. Says whether there was one.
    pub fn delete(&self, channel: &str) -> bool {
        let Some(held) = write(&self.0.channels).remove(channel) else { return false };
        let queues = match held.route {
            Route::Queue(queue) => vec![queue],
            Route::Topic(topic) => {
                let mut topic = lock(&topic.inner);
                topic.gone = true;
                topic.subscriptions.drain(..).map(|(_, queue)| queue).collect()
            }
        };
        for queue in queues {
            let mut wakes = Wakes::default();
            queue.lock().delete(&mut wakes);
            wakes.wake();
        }
        true
    }

    /// The names of all channels, sorted.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        let mut names: Vec<String> = read(&self.0.channels).keys().map(ToString::to_string).collect();
        names.sort();
        names
    }

    /// The names of a topic's subscriptions, in the order they were made; empty where there is no such topic.
    #[must_use]
    pub fn subscriptions(&self, topic: &str) -> Vec<String> {
        match self.0.route(topic) {
            Some(Route::Topic(topic)) => {
                lock(&topic.inner).subscriptions.iter().map(|(name, _)| name.to_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What a queue holds at this moment.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<QueueSnapshot> {
        match self.0.route(name)? {
            Route::Queue(queue) => Some(look(&queue)),
            Route::Topic(_) => None,
        }
    }

    /// What a subscription of a topic holds at this moment.
    #[must_use]
    pub fn subscription(&self, topic: &str, name: &str) -> Option<QueueSnapshot> {
        match self.0.route(topic)? {
            Route::Topic(topic) => {
                let queue = lock(&topic.inner).subscription(name).cloned()?;
                Some(look(&queue))
            }
            Route::Queue(_) => None,
        }
    }

    /// Ends every connection's every producer and consumer, as a restart of the network would: what was out goes back.
    /// The transports stay usable: opening again works.
    pub fn disconnect_all(&self) {
        let connections: Vec<_> = lock(&self.0.connections).iter().filter_map(Weak::upgrade).collect();
        for connection in connections {
            connection.disconnect(&error::connection_lost("use connection"));
        }
    }

    pub(crate) fn ensure(&self, what: &Ensure) -> Result<()> {
        what.channel.validate()?;
        self.0.ensure(what)
    }
}

fn look(queue: &Queue) -> QueueSnapshot {
    let now = queue.clock.now();
    let mut wakes = Wakes::default();
    let snapshot = {
        let mut state = queue.lock();
        state.tick(now, &mut wakes);
        state.snapshot(now)
    };
    wakes.wake();
    snapshot
}

impl Shared {
    pub(crate) fn route(&self, channel: &str) -> Option<Route> {
        read(&self.channels).get(channel).map(|held| held.route.clone())
    }

    /// The queue that a source reads from.
    pub(crate) fn source(&self, source: &Source) -> Option<Arc<Queue>> {
        match (self.route(source.channel.name.as_str())?, &source.subscription) {
            (Route::Queue(queue), None) => Some(queue),
            (Route::Topic(topic), Some(subscription)) => {
                lock(&topic.inner).subscription(subscription.name.as_str()).cloned()
            }
            _ => None,
        }
    }

    fn rules(&self, channel: &Channel) -> Rules {
        Rules {
            order: channel.order,
            retention: retention(channel),
            lease: nanos(self.config.lease),
            key_window: self.config.key_window,
            max_messages: self.config.max_messages,
            max_bytes: self.config.max_bytes,
            clock: self.clock,
            seed: os_seed(),
        }
    }

    fn new_queue(&self, channel: &Channel) -> Arc<Queue> {
        Arc::new(Queue::new(self.rules(channel)))
    }

    fn hold(&self, channel: &Channel, implied: bool) -> Held {
        let route = match channel.kind {
            ChannelKind::Queue => Route::Queue(self.new_queue(channel)),
            ChannelKind::Topic => Route::Topic(Arc::new(Topic::new())),
        };
        Held { facts: channel.clone(), route, implied }
    }

    /// Declares all or nothing: everything is compared before anything is made.
    fn ensure(&self, what: &Ensure) -> Result<()> {
        let channel = &what.channel;
        let name = channel.name.text();
        let dead_letters = if channel.existing { None } else { channel.dead_letter_channel() };
        let mut channels = write(&self.channels);
        match channels.get(name) {
            None if channel.existing => return Err(error::no_such_channel("ensure channel", name)),
            Some(held) if held.implied => may_take_over(held, channel)?,
            // What takes dead letters may always be declared as that: publishers of other channels do.
            Some(held) if takes_dead_letters(held) && is_implied_form(channel) && held.facts.kind == channel.kind => {}
            Some(held) => agree(&held.facts, channel)?,
            None => {}
        }
        if let Some(target) = &dead_letters
            && let Some(held) = channels.get(target.name.text())
            && held.facts.kind != ChannelKind::Queue
        {
            return Err(error::differs(target.name.as_str(), "kind", "topic", "queue"));
        }

        if let Some(target) = dead_letters {
            let held = channels.entry(target.name.text().clone()).or_insert_with(|| self.hold(&target, true));
            if let Route::Queue(queue) = &held.route {
                queue.takes_dead_letters.store(true, Ordering::Relaxed);
            }
        }
        let held = channels.entry(name.clone()).or_insert_with(|| self.hold(channel, false));
        if held.implied && !channel.existing && !is_implied_form(channel) {
            held.take_over(channel, self);
        }
        if let Route::Topic(topic) = &held.route {
            let facts = &held.facts;
            let mut topic = lock(&topic.inner);
            for Subscription { name: subscription, .. } in &what.subscriptions {
                if topic.subscription(subscription.as_str()).is_none() {
                    let queue = self.new_queue(facts);
                    topic.subscriptions.push((subscription.clone(), queue));
                }
            }
        }
        Ok(())
    }
}

fn retention(channel: &Channel) -> Option<u64> {
    match channel.retention {
        Retention::UntilSettled => None,
        Retention::For(keep) => Some(nanos(keep)),
    }
}

fn takes_dead_letters(held: &Held) -> bool {
    matches!(&held.route, Route::Queue(queue) if queue.takes_dead_letters.load(Ordering::Relaxed))
}

/// The form in which a channel's dead-letter channel is declared along with it.
fn is_implied_form(channel: &Channel) -> bool {
    let mut implied = channel.clone();
    implied.dead_letter = pontoon_core::DeadLetterPolicy::To(channel.name.clone());
    implied.dead_letter_channel().is_some_and(|mut form| {
        form.existing = channel.existing;
        form == *channel
    })
}

/// Whether the first explicit declaration of a queue that was so far only implied can take it over.
fn may_take_over(held: &Held, asked: &Channel) -> Result<()> {
    let mut allowed = asked.clone();
    allowed.kind = held.facts.kind;
    let empty = matches!(&held.route, Route::Queue(queue) if queue.lock().is_unused());
    if asked.kind == held.facts.kind && (asked.existing || empty || asked.order == held.facts.order) {
        return Ok(());
    }
    agree(&held.facts, asked)
}

impl Held {
    fn take_over(&mut self, channel: &Channel, shared: &Shared) {
        self.implied = false;
        self.facts = channel.clone();
        if let Route::Queue(queue) = &mut self.route {
            let same_order = queue.lock().order() == channel.order;
            if same_order {
                queue.lock().set_retention(retention(channel));
            } else {
                let replacement = shared.new_queue(channel);
                replacement.takes_dead_letters.store(true, Ordering::Relaxed);
                let old = std::mem::replace(queue, replacement);
                let mut wakes = Wakes::default();
                old.lock().delete(&mut wakes);
                wakes.wake();
            }
        }
    }
}
