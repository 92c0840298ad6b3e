//! Depth and purge, as the broker tells them, and its own connection.

use std::sync::Arc;

use lapin::options::{QueueDeclareOptions, QueuePurgeOptions};
use lapin::types::FieldTable;
use pontoon_core::driver::{BoxFuture, DepthReport, QueueDepth, QueuePurge};
use pontoon_core::{Result, Source};

use crate::connection::{Connections, Use};
use crate::{error, names, topology};

/// Asks the broker.
pub(crate) struct Counts(pub(crate) Arc<Connections>);

impl QueueDepth for Counts {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        Box::pin(async move {
            let line = self.0.channel(Use::Consuming, "ask depth").await?;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let asking = async {
                let mut ready = 0;
                for name in names::queues(source) {
                    let queue =
                        line.channel.queue_declare(topology::short(&name)?, options, FieldTable::default()).await;
                    ready += u64::from(queue.map_err(|cause| error::of("ask depth", cause))?.message_count());
                }
                // What is out and what waits in buckets is not told here.
                Ok(DepthReport::of_ready(ready))
            };
            line.live.guarded("ask depth", asking).await
        })
    }
}

impl QueuePurge for Counts {
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let line = self.0.channel(Use::Consuming, "purge").await?;
            let purging = async {
                let mut gone = 0;
                for name in names::queues(source) {
                    let purged = line.channel.queue_purge(topology::short(&name)?, QueuePurgeOptions::default()).await;
                    gone += u64::from(purged.map_err(|cause| error::of("purge", cause))?);
                }
                Ok(gone)
            };
            line.live.guarded("purge", purging).await
        })
    }
}

/// The client's own connection, for code that knows RabbitMQ: `transport.extensions().native`, downcast to this.
#[derive(Clone)]
pub struct RabbitConnections(pub(crate) Arc<Connections>);

impl RabbitConnections {
    /// The connection that publishes. It is made anew after a loss, so ask again then. Publish on a channel of your
    /// own: a publisher's channel is its own.
    ///
    /// # Errors
    /// When no node can be reached.
    pub async fn publishing(&self) -> Result<Arc<lapin::Connection>> {
        Ok(self.0.get(Use::Publishing).await?.connection.clone())
    }

    /// The connection that consumes and declares.
    ///
    /// # Errors
    /// When no node can be reached.
    pub async fn consuming(&self) -> Result<Arc<lapin::Connection>> {
        Ok(self.0.get(Use::Consuming).await?.connection.clone())
    }
}

impl std::fmt::Debug for RabbitConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RabbitConnections")
    }
}
