//! The consuming half of one connection.

use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::adapter::{SettleOutcome, Settlement, SimpleConsumer};
use pontoon_core::driver::{Incoming, Token};

use crate::error::unwritten;

/// One generation of a consumer: it lives as long as its connection.
#[derive(Debug)]
pub struct @Name@Consumer {}

impl SimpleConsumer for @Name@Consumer {
    /// How long a delivery stays this consumer's; `None` where the broker takes nothing back by time.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Waits for messages, at most `max`. Each has a token that names this delivery and no other.
    async fn receive(&self, _max: usize) -> Result<Vec<Incoming>> {
        Err(unwritten("receive", "consumer.rs", "Receive and settle"))
    }

    /// One end for each settlement, in the same order. A token whose lease is over is `Stale`: nothing is done then.
    async fn settle(&self, _what: Vec<(Token, Settlement)>) -> Result<Vec<SettleOutcome>> {
        Err(unwritten("settle", "consumer.rs", "Receive and settle"))
    }

    /// Gives back what is not settled.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
