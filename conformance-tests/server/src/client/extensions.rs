//! Depth and purge.

use std::sync::Arc;

use pontoon_core::driver::{BoxFuture, DepthReport, QueueDepth, QueuePurge};
use pontoon_core::{Result, Source};

use super::socket::malformed;
use super::transport::{Client, put_source};
use crate::protocol::Kind;

/// Asks the server.
#[derive(Debug)]
pub(super) struct Counts(pub(super) Arc<Client>);

impl QueueDepth for Counts {
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>> {
        Box::pin(async move {
            let mut told = self.0.ask("ask depth", Kind::Depth, |to| put_source(to, source), Kind::Depths).await?;
            let mut number = || told.u64().map_err(|what| malformed(what, "ask depth"));
            Ok(DepthReport::exact(number()?, number()?, number()?))
        })
    }
}

impl QueuePurge for Counts {
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>> {
        Box::pin(async move {
            let mut told = self.0.ask("purge", Kind::Purge, |to| put_source(to, source), Kind::Done).await?;
            told.u64().map_err(|what| malformed(what, "purge"))
        })
    }
}
