//! Mutants of order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pontoon_core::driver::{Ensure, Ticket};
use pontoon_core::engine::{ConsumerOptions, PublisherOptions};
use pontoon_core::{Channel, Message, Order, Result, Source, Spill};

use super::Defect;

mutants! {
    "ORD-KEY" SwapsNeighbours: "two neighbours of a key change places, once in 500" by ["key-inversion"];
    "ORD-RETRY" DoesNotBlock: "the next of a key is delivered while one is in its backoff" by ["key-inversion"];
    "ORD-EXCL" DispatchesByMessage: "messages of a key go to whoever is free" by ["lease-overlap"];
    "ORD-PIPE" ResendsBehind: "what is sent again after a lost connection is overtaken by the next of its key"
        by ["key-inversion"];
    "FAL-SPILL" Unbounded: "blocked keys are not bounded" by ["no-spill"];
    "SHARD-MISMATCH" IgnoresShards: "shard counts are not compared" by ["conflict-accepted"];
}

#[derive(Default)]
struct SwapsNeighbours(AtomicU64);

impl Defect for SwapsNeighbours {
    fn batch(&self, channel: &Channel, messages: &mut [(Ticket, Message)]) {
        for at in 0..messages.len() {
            if channel.order.is_ordered() && self.0.fetch_add(1, Ordering::Relaxed) % 500 == 80 {
                swap_with_next_of_key(messages, at);
            }
        }
    }
}

fn swap_with_next_of_key(messages: &mut [(Ticket, Message)], at: usize) {
    let key = &messages[at].1.key;
    let next = (at + 1..messages.len()).find(|next| messages[*next].1.key == *key);
    if let Some(next) = next {
        messages.swap(at, next);
    }
}

/// Declares and opens channels of one order as if they had another.
macro_rules! other_order {
    ($name:ident: $from:pat => $to:expr) => {
        #[derive(Default)]
        struct $name;

        impl Defect for $name {
            fn ensure(&self, mut what: Ensure) -> Result<Option<Ensure>> {
                if let $from = what.channel.order {
                    what.channel.order = $to;
                    what.channel.shards = None;
                }
                Ok(Some(what))
            }
            fn consumer(&self, source: &mut Source, _: &mut ConsumerOptions) {
                if let $from = source.channel.order {
                    source.channel.order = $to;
                    source.channel.shards = None;
                }
            }
            fn publisher(&self, channel: &mut Channel, _: &mut PublisherOptions) {
                if let $from = channel.order {
                    channel.order = $to;
                    channel.shards = None;
                }
            }
        }
    };
}

const UNBOUNDED: Order =
    Order::Block { max_blocked_keys: 1_000_000, longest_wait: Duration::from_secs(100_000), spill: Spill::DeadLetter };

other_order!(DoesNotBlock: Order::Block { .. } => Order::FallBehind);
other_order!(DispatchesByMessage: Order::FallBehind => Order::Unordered);
other_order!(Unbounded: Order::Block { .. } => UNBOUNDED);

/// What is sent again is sent in another order.
#[derive(Default)]
struct ResendsBehind;

impl Defect for ResendsBehind {
    fn batch(&self, _: &Channel, messages: &mut [(Ticket, Message)]) {
        if messages.iter().any(|(_, message)| message.history().maybe_duplicate) {
            (0..messages.len() / 2).for_each(|at| swap_with_next_of_key(messages, at));
        }
    }
}

#[derive(Default)]
struct IgnoresShards;

impl Defect for IgnoresShards {
    fn ensure(&self, mut what: Ensure) -> Result<Option<Ensure>> {
        what.channel.shards = None;
        Ok(Some(what))
    }
}
