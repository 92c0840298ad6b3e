//! [`Worker`]: handlers on channels, run until told to stop.

use pontoon_core::Retry;

use super::handler::Ended;
use super::{Arguments, AsyncReturn, Handler, IntoOutcome};
use crate::Broker;
use crate::channel::Readable;

/// Runs handlers on channels.
pub struct Worker<S = ()> {
    broker: Broker,
    state: S,
}

impl Worker {
    /// A worker without state or handlers.
    #[must_use]
    pub fn new(broker: Broker) -> Self {
        Worker { broker, state: () }
    }
}

impl<S: Clone + Send + Sync + 'static> Worker<S> {
    /// Gives the handlers that are added from now on this state.
    #[must_use]
    pub fn state<X: Clone + Send + Sync + 'static>(self, state: X) -> Worker<X> {
        Worker { broker: self.broker, state }
    }

    /// Adds a handler.
    #[must_use]
    pub fn handle<Ch, H, Args>(self, channel: Ch, handler: H, retry: Retry) -> Self
    where
        Ch: Readable,
        H: Handler<Args>,
        Args: Arguments<Ch::Payload, S>,
        H::Returned: AsyncReturn + Send,
        Ended<H, Args>: IntoOutcome,
    {
        let _ = (channel, handler, retry, &self.state, &self.broker);
        self
    }
}
