//! Settlements that were recorded and are not final yet.

use std::collections::VecDeque;

use super::slots::SlotRef;
use crate::driver::Token;
use crate::{Message, MessageId};

/// What is to be recorded at the driver.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) token: Token,
    pub(crate) op: Op,
    /// Counts up; a settlement that must be recorded again keeps its number.
    pub(super) number: u64,
    /// The slot that waits for this to be final, if any.
    pub(super) waits: Option<SlotRef>,
    /// For events; made only when someone listens or something waits.
    pub(super) id: Option<MessageId>,
}

/// The disposition, owned until it is final.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Ack,
    Release,
    Retry { after: std::time::Duration },
    Extend { by: std::time::Duration },
    Replace { dead_letter: bool, message: Box<Message> },
}

/// In order of recording; what was recorded before a flush began is final when it ends.
#[derive(Debug, Default)]
pub(super) struct Unflushed {
    records: VecDeque<Record>,
    /// How many of them the flush that runs covers.
    flushing: usize,
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

    pub(super) fn push(&mut self, record: Record) {
        self.records.push_back(record);
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn begin(&mut self) {
        self.flushing = self.records.len();
    }

    /// Takes what the flush covered.
    pub(super) fn end(&mut self) -> impl Iterator<Item = Record> {
        let covered = std::mem::take(&mut self.flushing).min(self.records.len());
        self.records.drain(..covered)
    }

    /// Forgets everything, the flush included.
    pub(super) fn take_all(&mut self) -> VecDeque<Record> {
        self.flushing = 0;
        std::mem::take(&mut self.records)
    }

    /// Whether everything up to this number is final.
    pub(super) fn is_final(&self, number: u64) -> bool {
        self.records.iter().all(|r| r.number > number)
    }
}
