//! The publishing half of one connection.

use std::sync::Arc;

use pontoon_core::driver::adapter::SimplePublisher;
use pontoon_core::{Message, PublishOutcome, Result};

use crate::command::Command;
use crate::link::Link;

/// One generation of a publisher.
#[derive(Debug)]
pub struct FilePublisher {
    pub(crate) link: Arc<Link>,
    pub(crate) queue: String,
}

impl SimplePublisher for FilePublisher {
    async fn publish(&self, messages: Vec<Message>) -> Result<Vec<PublishOutcome>> {
        let (by, queue) = (self.link.number, self.queue.clone());
        self.link.ask("publish", |reply| Command::Publish { by, queue, messages, reply }).await
    }
}
