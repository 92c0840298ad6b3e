//! Settlements that were recorded and are not final yet.

use std::collections::VecDeque;

use super::slots::SlotRef;
use crate::driver::Token;
use crate::{Message, MessageId};

/// What is to be recorded at the driver. Small, for there is one for every message.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) token: Token,
    pub(crate) op: Op,
    /// Counts up; a settlement that must be recorded again keeps its number.
    pub(super) number: u64,
    more: Option<Box<More>>,
}

#[derive(Clone, Debug)]
struct More {
    waits: Option<SlotRef>,
    id: Option<MessageId>,
}

impl Record {
    /// `waits`: the slot that waits for this to be final. `id`: for events.
    #[inline]
    pub(super) fn new(token: Token, op: Op, number: u64, waits: Option<SlotRef>, id: Option<MessageId>) -> Self {
        let more = (waits.is_some() || id.is_some()).then(|| Box::new(More { waits, id }));
        Record { token, op, number, more }
    }

    #[inline]
    pub(super) fn waits(&self) -> Option<SlotRef> {
        self.more.as_ref().and_then(|more| more.waits)
    }

    pub(super) fn id(&self) -> Option<MessageId> {
        self.more.as_ref().and_then(|more| more.id.clone())
    }
}

/// The disposition, owned until it is final.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Ack,
    Release,
    Retry { after: std::time::Duration, failures: u32 },
    Extend { by: std::time::Duration },
    Replace { dead_letter: bool, message: Box<Message> },
}

/// In order of recording; what was recorded before a flush began is final when it ends.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    records: VecDeque<Record>,
    /// How many of them the flush that runs covers.
    flushing: usize,
    /// How many of them some slot waits for.
    waited_for: usize,
    last_number: u64,
}

impl Unflushed {
    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        self.waited_for += usize::from(record.waits().is_some());
        self.records.push_back(record);
    }

    /// Takes all of them, in order.
    #[inline]
    pub(super) fn extend(&mut self, records: &mut Vec<Record>) {
        self.waited_for += records.iter().filter(|record| record.waits().is_some()).count();
        self.records.extend(records.drain(..));
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether some slot waits for one of them to be final.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waited_for > 0
    }

    pub(super) fn begin(&mut self) {
        self.flushing = self.records.len();
    }

    /// Takes what the flush covered.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Record> {
        let covered = std::mem::take(&mut self.flushing).min(self.records.len());
        if self.waited_for > 0 {
            self.waited_for -= self.records.range(..covered).filter(|record| record.waits().is_some()).count();
        }
        self.records.drain(..covered)
    }

    /// Forgets everything, the flush included.
    pub(super) fn take_all(&mut self) -> VecDeque<Record> {
        self.flushing = 0;
        self.waited_for = 0;
        std::mem::take(&mut self.records)
    }

    /// Whether a settlement of this lease is among them.
    pub(super) fn holds(&self, token: Token) -> bool {
        self.records.iter().any(|record| record.token == token)
    }

    /// Whether everything up to this number is final.
    pub(super) fn is_final(&self, number: u64) -> bool {
        self.records.iter().all(|r| r.number > number)
    }
}
