//! The deliveries that are outstanding, each in a slot that is reused.

use super::lanes::NIL;
use crate::driver::{Incoming, Token};
use crate::{BrokerId, Error, Message, MessageId, Moment, ReasonKind, Text};

/// Names one use of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotRef {
    pub(super) slot: u32,
    pub(super) turn: u32,
}

/// Where a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// In line behind another delivery of its key.
    Waiting,
    /// May be handed to the application.
    Ready,
    /// In the application's hands.
    Running,
    /// Held here, its lease kept, until a moment.
    Held {
        until: Moment,
        then: Then,
    },
    /// Its successor is being stored.
    Succeeding,
    /// Recorded; what comes next waits until that is final.
    Finalising,
}

/// What happens when a held delivery's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is handed to the application again.
    Redispatch,
    /// It is given back to the broker.
    GiveBack,
    /// Storing its successor is tried again.
    Succeed,
}

/// What a successor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    DeadLetter(ReasonKind),
    Retry { after: std::time::Duration },
}

/// What only troubled deliveries have.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) undecodable: Option<Error>,
    /// Failures since it was received, by handlers here.
    pub(super) failures: u32,
    pub(super) error: Text,
    pub(super) first_failure_ms: u64,
    pub(super) last_failure_ms: u64,
    /// Since when it blocks its key.
    pub(super) blocked_since: Option<Moment>,
    pub(super) purpose: Option<Purpose>,
    /// Failed tries to store the successor.
    pub(super) tries: u32,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) turn: u32,
    pub(super) state: State,
    pub(super) lost: bool,
    pub(super) expired: bool,
    pub(super) token: Token,
    /// Kept here too, for the message is with the application while it runs.
    pub(super) id: MessageId,
    /// Its lane; none for messages without a key and on unordered channels.
    pub(super) lane: u32,
    pub(super) broker_id: BrokerId,
    pub(super) deliveries: Option<u32>,
    pub(super) broker_failures: u32,
    pub(super) lease_until: Moment,
    /// Absent while the application has it.
    pub(super) message: Option<Message>,
    pub(super) trouble: Option<Box<Trouble>>,
}

impl Slot {
    fn new() -> Self {
        Slot {
            turn: 0,
            state: State::Free,
            lost: false,
            expired: false,
            token: Token { position: 0, source: 0, generation: 0 },
            id: MessageId::UNSET,
            lane: NIL,
            broker_id: BrokerId::None,
            deliveries: None,
            broker_failures: 0,
            lease_until: Moment::NEVER,
            message: None,
            trouble: None,
        }
    }

    pub(super) fn trouble_mut(&mut self) -> &mut Trouble {
        self.trouble.get_or_insert_with(Default::default)
    }
    pub(super) fn local_failures(&self) -> u32 {
        self.trouble.as_ref().map_or(0, |t| t.failures)
    }
}

#[derive(Debug, Default)]
pub(super) struct Slots {
    all: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    #[inline(always)]
    pub(super) fn insert(&mut self, incoming: Incoming, lease_until: Moment) -> u32 {
        let index = self.insert_running(&incoming, lease_until);
        let Incoming { message, undecodable, expired, .. } = incoming;
        let slot = &mut self.all[index as usize];
        slot.state = State::Waiting;
        slot.expired = expired;
        slot.message = Some(message);
        slot.trouble = undecodable.map(|error| Box::new(Trouble { undecodable: Some(error), ..Default::default() }));
        index
    }

    /// A message that the application has at once: everything but the message is kept.
    #[inline]
    pub(super) fn insert_running(&mut self, incoming: &Incoming, lease_until: Moment) -> u32 {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.all.push(Slot::new());
                (self.all.len() - 1) as u32
            }
        };
        let slot = &mut self.all[index as usize];
        slot.turn = slot.turn.wrapping_add(1);
        slot.state = State::Running;
        slot.lost = false;
        slot.expired = false;
        slot.token = incoming.token;
        slot.id = incoming.message.id.clone();
        slot.lane = NIL;
        slot.broker_id = incoming.broker_id.clone();
        slot.deliveries = incoming.deliveries;
        slot.broker_failures = incoming.failures;
        slot.lease_until = lease_until;
        index
    }

    #[inline]
    pub(super) fn remove(&mut self, index: u32) {
        let slot = &mut self.all[index as usize];
        slot.state = State::Free;
        slot.message = None;
        slot.trouble = None;
        self.free.push(index);
    }

    #[inline]
    pub(super) fn get(&self, index: u32) -> &Slot {
        &self.all[index as usize]
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.all[index as usize]
    }

    /// The slot, if this use of it still lasts.
    #[inline]
    pub(super) fn find(&self, slot: SlotRef) -> Option<&Slot> {
        self.all.get(slot.slot as usize).filter(|s| s.turn == slot.turn && s.state != State::Free)
    }

    #[inline]
    pub(super) fn name(&self, index: u32) -> SlotRef {
        SlotRef { slot: index, turn: self.all[index as usize].turn }
    }

    /// Every slot in use.
    pub(super) fn used(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.all.iter().enumerate().filter(|(_, s)| s.state != State::Free).map(|(i, s)| (i as u32, s))
    }

    pub(super) fn used_indices(&self) -> Vec<u32> {
        self.used().map(|(i, _)| i).collect()
    }
}
