//! The publishing half of one connection.

use pontoon_core::driver::adapter::SimplePublisher;
use pontoon_core::{Message, PublishOutcome, Result};

use crate::error::unwritten;

/// One generation of a publisher: it lives as long as its connection.
#[derive(Debug)]
pub struct @Name@Publisher {}

impl SimplePublisher for @Name@Publisher {
    /// One outcome for each message, in the same order. *Confirmed*: the broker said that it stored it. *Rejected*: it
    /// certainly did not. Whatever lies between is *unknown*. An `Err` is a broken connection: all of them are unknown
    /// then.
    async fn publish(&self, _messages: Vec<Message>) -> Result<Vec<PublishOutcome>> {
        Err(unwritten("publish", "publisher.rs", "Publish"))
    }
}
