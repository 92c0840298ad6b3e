//! Depth and purge.

use std::sync::Arc;

use pontoon_core::driver::{BoxFuture, DepthReport, QueueDepth, QueuePurge};
use pontoon_core::{Result, Source};

use crate::error;
use crate::link::Connection;
use crate::queue::Queue;
use crate::wakes::Wakes;

/// Answers for every queue of the server.
#[derive(Debug)]
pub(crate) struct Depths(pub(crate) Arc<Connection>);

impl Depths {
    fn source(&self, operation: &'static str, source: &Source) -> Result<Arc<Queue>> {
        self.0.check(operation)?;
        self.0.server.source(source).ok_or_else(|| error::no_such_source(operation, source))
    }
}

impl QueueDepth for Depths {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        Box::pin(async move {
            let queue = self.source("ask depth", source)?;
            let mut wakes = Wakes::default();
            let (ready, delayed, in_flight) = {
                let mut state = queue.lock();
                state.tick(queue.clock.now(), &mut wakes);
                state.depth()
            };
            wakes.wake();
            Ok(DepthReport::exact(ready, delayed, in_flight))
        })
    }
}

impl QueuePurge for Depths {
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let queue = self.source("purge", source)?;
            let mut wakes = Wakes::default();
            let gone = {
                let mut state = queue.lock();
                state.tick(queue.clock.now(), &mut wakes);
                state.purge(&mut wakes)
            };
            wakes.wake();
            Ok(gone)
        })
    }
}
