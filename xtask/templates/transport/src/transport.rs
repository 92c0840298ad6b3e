//! The control plane: what can be done, declaring, opening, closing.

use pontoon_core::driver::adapter::{CallLimits, SimpleTransport};
use pontoon_core::driver::{Ensure, Extensions, OpenConsumer};
use pontoon_core::{Capabilities, Channel, Result};

use crate::config::@Name@Config;
use crate::consumer::@Name@Consumer;
use crate::error::unwritten;
use crate::publisher::@Name@Publisher;

/// One connection to a broker.
#[derive(Debug)]
pub struct @Name@Transport {
    /// The settings.
    config: @Name@Config,
}

impl @Name@Transport {
    /// Connects.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    #[allow(clippy::unused_async)] // until it really connects
    pub async fn connect(config: @Name@Config) -> Result<Self> {
        Ok(@Name@Transport { config })
    }

    /// The settings it was connected with.
    #[must_use]
    pub fn config(&self) -> &@Name@Config {
        &self.config
    }
}

impl SimpleTransport for @Name@Transport {
    type Publisher = @Name@Publisher;
    type Consumer = @Name@Consumer;

    /// What is declared here decides which checks run. Absent is an honest answer; a level that is not true is a defect.
    /// Without `RetryDelay` most checks cannot run.
    fn capabilities(&self, _channel: &Channel) -> Capabilities {
        Capabilities::new("@name@-queue")
    }

    fn call_limits(&self) -> CallLimits {
        CallLimits::default()
    }

    async fn ensure(&self, _what: &Ensure) -> Result<()> {
        Err(unwritten("ensure channel", "transport.rs", "Declare"))
    }

    async fn open_publisher(&self, _channel: &Channel) -> Result<@Name@Publisher> {
        Err(unwritten("open producer", "publisher.rs", "Publish"))
    }

    async fn open_consumer(&self, _how: &OpenConsumer) -> Result<@Name@Consumer> {
        Err(unwritten("open consumer", "consumer.rs", "Receive and settle"))
    }

    fn extensions(&self) -> Extensions {
        Extensions::none()
    }

    /// Ends every publisher and consumer that was opened here; what they held goes back to the broker.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
