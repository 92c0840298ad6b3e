//! Handlers' soft policy, which lives with the program and not at the broker.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use pontoon_core::{Message, Retry, Text};
use tokio::sync::Semaphore;

/// How many messages one handler handles at once, unless said otherwise.
pub const DEFAULT_CONCURRENCY: usize = 8;

/// How one handler is run.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) retry: Retry,
    pub(crate) concurrency: usize,
    pub(crate) timeout: Option<Duration>,
}

impl Policy {
    pub(crate) fn new(retry: Retry) -> Self {
        Policy { retry, concurrency: DEFAULT_CONCURRENCY, timeout: None }
    }
}

/// The policies of the handlers on one channel.
#[derive(Debug)]
pub(crate) enum Policies {
    /// One handler takes every message; the engine applies its retry policy.
    One(Policy),
    /// Handlers are chosen by type name. One consumer serves them all, so what differs between them is applied here.
    ByType(HashMap<Text, Routed>),
}

/// The policy of one of several handlers.
#[derive(Debug)]
pub(crate) struct Routed {
    pub(crate) policy: Policy,
    /// How many messages of this type may run at once: the channel's tasks are shared by all its types.
    pub(crate) permits: Arc<Semaphore>,
}

impl Policies {
    /// How long a handler may take over this message.
    pub(crate) fn timeout(&self, message: &Message) -> Option<Duration> {
        match self {
            Policies::One(policy) => policy.timeout,
            Policies::ByType(_) => self.routed(message)?.policy.timeout,
        }
    }

    /// Where the worker applies the retry policy itself: that of this message's handler.
    pub(crate) fn routed(&self, message: &Message) -> Option<&Routed> {
        match self {
            Policies::One(_) => None,
            Policies::ByType(routes) => routes.get(&*message.type_name),
        }
    }
}
