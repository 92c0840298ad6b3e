//! The key gate at work: who waits behind whom, and when they may go.

use super::super::gates::Gating;
use super::super::slots::State;
use super::Machine;
use crate::{Key, Moment};

impl<W> Machine<W> {
    /// A message of this key that was let out is so no more.
    pub(super) fn out_ended(&mut self, key: &Key, now: Moment) {
        let Some(gate) = self.gates.get(key) else { return };
        gate.out -= 1;
        self.release(key, now);
    }

    /// Lets out what may go: nothing while earlier messages of the key are out, since one that fails could be
    /// overtaken.
    pub(super) fn release(&mut self, key: &Key, now: Moment) {
        let one_at_a_time = self.gates.mode == Gating::OneAtATime;
        let Some(gate) = self.gates.get(key) else { return };
        if gate.out > 0 {
            return;
        }
        while let Some((seq, slot)) = gate.front() {
            let this = &mut self.slots[slot];
            if this.state == State::Resting && this.not_before > now {
                break;
            }
            gate.pop();
            this.state = State::Ready;
            self.outbox.insert(seq, slot);
            gate.out += 1;
            if one_at_a_time {
                break;
            }
        }
        if gate.front().is_none() && (gate.out == 0 || !one_at_a_time) {
            self.gates.remove(key);
        }
    }

    /// Takes a message that is not with the producer from wherever it waits.
    pub(super) fn withdraw(&mut self, slot: u32) -> bool {
        let this = &self.slots[slot];
        let key = this.message.as_ref().and_then(|message| message.key.as_ref());
        let key = key.filter(|_| self.gates.mode != Gating::None);
        match this.state {
            State::Ready => {
                self.outbox.remove(this.seq);
                true
            }
            State::Held | State::Resting => {
                if let Some(gate) = key.and_then(|key| self.gates.get(key)) {
                    gate.remove(this.seq);
                }
                false
            }
            State::Sent => true,
            State::Idle | State::Queued | State::Failed | State::Owed => false,
        }
    }
}
