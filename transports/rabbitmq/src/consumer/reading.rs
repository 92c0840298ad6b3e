//! One queue that a consumer reads: on a channel of its own, so that giving it up returns what is out, and only that.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use pontoon_core::{Result, Source};

use crate::connection::{self, Connections, Use};
use crate::live::Line;
use crate::tags::Tags;
use crate::{error, names, topology};

const OPERATION: &str = "open consumer";

/// A queue, from when it is taken until it is given up.
pub(super) struct Reading {
    /// The source in tokens: no two readings of one consumer have the same.
    pub(super) number: u32,
    pub(super) shard: u16,
    pub(super) line: Line,
    tags: Mutex<Tags>,
}

impl Reading {
    /// Begins to read.
    ///
    /// # Errors
    /// `NotFound`, `Permission`, or that of the connection.
    pub(super) async fn open(
        connections: &Connections,
        source: &Source,
        shard: u16,
        number: u32,
        prefetch: u16,
    ) -> Result<(Self, lapin::Consumer)> {
        let line = connections.channel(Use::Consuming, OPERATION).await?;
        let subscription = source.subscription.as_ref().map(|subscription| subscription.name.as_str());
        let queue = topology::short(&names::queue(&source.channel, subscription, shard))?;
        let consuming = async {
            let options = BasicConsumeOptions::default();
            let opened = async {
                connection::bound(&line.channel, prefetch).await?;
                line.channel.basic_consume(queue, "".into(), options, FieldTable::default()).await
            };
            opened.await.map_err(|cause| error::not_reached(OPERATION, error::of(OPERATION, cause)))
        };
        let deliveries = line.live.guarded(OPERATION, consuming).await?;
        Ok((Reading { number, shard, line, tags: Mutex::new(Tags::new()) }, deliveries))
    }

    pub(super) fn tags(&self) -> MutexGuard<'_, Tags> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("number", &self.number).field("shard", &self.shard).finish_non_exhaustive()
    }
}
