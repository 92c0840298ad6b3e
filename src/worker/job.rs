//! [`Job`]: one delivery as extractors and middleware see it.

use std::sync::Arc;

use pontoon_core::engine::{Delivery, Lease};
use pontoon_core::{Attempt, Message, Source};

/// One delivery on its way to a handler: what extractors read and tower middleware is passed. Cloning is cheap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// The message.
    pub message: Message,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// Where it was read from.
    pub source: Arc<Source>,
    /// The delivery's own controls.
    pub lease: Lease,
}

impl Job {
    pub(crate) fn new(delivery: &Delivery, source: &Arc<Source>) -> Self {
        Job {
            message: delivery.message().clone(),
            attempt: delivery.attempt(),
            source: source.clone(),
            lease: delivery.lease(),
        }
    }
}
