//! What a user in `next()` or `next_batch()` wants, and how it gets it.

use std::sync::Arc;

use super::batch::Batch;
use super::delivery::Delivery;
use super::machine::{Handover, Machine};
use super::shared::Shared;
use crate::Moment;
use crate::driver::{Inbox, Incoming};

/// From this many on, a batch asks the receiver for no more than it takes itself.
const LARGE: usize = 16;

/// What is wanted, and where it goes.
pub(super) enum Want<'a> {
    One(&'a mut Option<Delivery>),
    /// Up to so many.
    Many(usize, &'a mut Batch),
}

impl Want<'_> {
    /// Whether it has something.
    pub(super) fn is_satisfied(&self) -> bool {
        match self {
            Want::One(one) => one.is_some(),
            Want::Many(_, batch) => !batch.is_empty(),
        }
    }

    /// How many to ask the receiver for.
    pub(super) fn demand(&self, demand: usize) -> usize {
        match self {
            Want::Many(max, _) if *max >= LARGE => demand.min(*max),
            _ => demand,
        }
    }

    /// Takes what is ready; whether it has something.
    pub(super) fn take_ready(&mut self, shared: &Arc<Shared>, machine: &mut Machine) -> bool {
        match self {
            Want::One(one) => **one = machine.pop_ready().map(|of| Delivery::new(shared.clone(), of)),
            Want::Many(max, batch) => {
                while batch.len < *max
                    && let Some(of) = machine.pop_ready()
                {
                    batch.ready.push_back(Delivery::new(shared.clone(), of));
                    batch.len += 1;
                }
            }
        }
        self.is_satisfied()
    }

    /// Takes what arrived and may start at once, without a detour through the machine's slots. What is not taken is
    /// left, or accepted. Whether it has something.
    pub(super) fn take_arrived(
        &mut self,
        shared: &Arc<Shared>,
        inbox: &mut Inbox,
        machine: &mut Machine,
        now: Moment,
    ) -> bool {
        match self {
            // What is ready was there first.
            _ if machine.ready() > 0 => {}
            Want::One(one) => {
                let named = inbox.front_message().and_then(|incoming| machine.accept_running(incoming, now));
                if let Some((slot, attempt)) = named
                    && let Some(incoming) = inbox.pop_message()
                {
                    **one = Some(Delivery {
                        shared: shared.clone(),
                        settled: false,
                        of: Handover {
                            slot,
                            message: incoming.message,
                            attempt,
                            broker_id: incoming.broker_id,
                            generation: incoming.token.generation,
                        },
                    });
                }
            }
            Want::Many(max, batch) => {
                // What an earlier look brought was all kept for later; its empty places must not go back into the inbox.
                batch.arrived.clear();
                batch.names.clear();
                if !inbox.take_messages(&mut batch.arrived) {
                    return false;
                }
                for incoming in &mut batch.arrived {
                    let name = if batch.len < *max { machine.accept_running(incoming, now) } else { None };
                    batch.len += usize::from(name.is_some());
                    if name.is_none() {
                        machine.accept(std::mem::replace(incoming, Incoming::nothing()), now);
                    }
                    batch.names.push_back(name);
                }
            }
        }
        self.is_satisfied()
    }
}
