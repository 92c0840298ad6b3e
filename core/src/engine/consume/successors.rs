//! Stores successors: one publisher for the dead-letter channel and one for the channel itself, opened when first
//! needed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::machine::Successor;
use super::slots::SlotRef;
use crate::driver::{AnyTransport, BoxFuture};
use crate::engine::{Environment, Publisher, PublisherOptions, Reconnect};
use crate::{Channel, Error, ErrorKind, Result};

/// How long storing one successor may take before it counts as failed, and is tried again later.
const STORE_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Successors {
    dead_letters: Option<Arc<Target>>,
    itself: Arc<Target>,
}

struct Target {
    channel: Channel,
    transport: AnyTransport,
    reconnect: Reconnect,
    env: Environment,
    publisher: OnceCell<Publisher>,
}

impl Target {
    async fn publisher(&self) -> Result<&Publisher> {
        self.publisher
            .get_or_try_init(|| async {
                let (deliver_within, reconnect) = (STORE_WITHIN, self.reconnect);
                let options = PublisherOptions { deliver_within, reconnect, ..PublisherOptions::default() };
                Publisher::open(&self.transport, self.channel.clone(), options, &self.env).await
            })
            .await
    }
}

impl Successors {
    pub(super) fn new(channel: &Channel, transport: &AnyTransport, reconnect: Reconnect, env: &Environment) -> Self {
        let target = |channel: Channel| {
            let (transport, env) = (transport.clone(), env.clone());
            Arc::new(Target { channel, transport, reconnect, env, publisher: OnceCell::new() })
        };
        Successors { dead_letters: channel.dead_letter_channel().map(target), itself: target(channel.clone()) }
    }

    /// Stores one successor; `Ok` only when it is confirmed.
    pub(super) fn store(&self, successor: Successor) -> BoxFuture<'static, (SlotRef, Result<()>)> {
        let slot = successor.slot;
        let target = if successor.dead_letter { self.dead_letters.clone() } else { Some(self.itself.clone()) };
        Box::pin(async move {
            let stored = async {
                let target = target.ok_or_else(|| {
                    Error::new(ErrorKind::Internal, "store successor", "no dead-letter channel is declared")
                })?;
                target.publisher().await?.publish(successor.message).await.map_err(|error| error.error().clone())
            };
            (slot, stored.await.map(|_receipt| ()))
        })
    }

    /// Closes what was opened.
    pub(super) async fn close(&self) {
        for target in self.dead_letters.iter().chain([&self.itself]) {
            if let Some(publisher) = target.publisher.get() {
                let _ = publisher.close(Duration::from_secs(1)).await;
            }
        }
    }
}
