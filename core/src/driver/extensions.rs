//! What a transport may offer beyond the mandatory core.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::BoxFuture;
use crate::{Result, Source};

/// Optional abilities. A transport says each of them; none has a default that a wrapper could forget.
///
/// `#[non_exhaustive]`: later abilities break no transport. Start from [`Extensions::none`] or, in a wrapper, from the
/// inner transport's.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Extensions {
    /// Asking how many messages wait.
    pub depth: Option<Arc<dyn QueueDepth>>,
    /// Removing all waiting messages.
    pub purge: Option<Arc<dyn QueuePurge>>,
    /// The transport's own handle, for code that knows the broker.
    pub native: Option<Arc<dyn Any + Send + Sync>>,
}

impl Extensions {
    /// Nothing beyond the core.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions")
            .field("depth", &self.depth.is_some())
            .field("purge", &self.purge.is_some())
            .field("native", &self.native.is_some())
            .finish()
    }
}

/// How many messages a queue or subscription holds, as exactly as the broker can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DepthReport {
    /// Ready to be delivered.
    pub ready: u64,
    /// Held back by a delay.
    pub delayed: Option<u64>,
    /// Handed out and unsettled.
    pub in_flight: Option<u64>,
    /// Whether the numbers are exact.
    pub exact: bool,
}

impl DepthReport {
    /// Only the ready ones are known.
    #[must_use]
    pub fn of_ready(ready: u64) -> Self {
        DepthReport { ready, ..Default::default() }
    }

    /// Everything is known, exactly.
    #[must_use]
    pub fn exact(ready: u64, delayed: u64, in_flight: u64) -> Self {
        DepthReport { ready, delayed: Some(delayed), in_flight: Some(in_flight), exact: true }
    }
}

/// Asks how many messages wait.
pub trait QueueDepth: Send + Sync {
    /// The depth of one queue or subscription.
    fn depth<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<DepthReport>>;
}

/// Removes waiting messages.
pub trait QueuePurge: Send + Sync {
    /// Removes what is ready, never what is in flight; returns how many went.
    fn purge<'a>(&'a self, source: &'a Source) -> BoxFuture<'a, Result<u64>>;
}
