//! The state that a consumer's handles, deliveries and pump share, and the one lock around it.

use std::task::{Context, Poll, Waker};

use super::machine::Machine;
use super::note::Note;
use super::unflushed::{Op, Record};
use super::{DrainReport, FlushReport};
use crate::driver::{AnySettler, Arrival, Disposition, Inbox, Incoming, Late, Settled, Settler, Token};
use crate::engine::ANSWER_WITHIN;
use crate::{Channel, Error, ErrorKind, Moment};

/// Recorded settlements are flushed at the latest when there are this many.
pub(super) const FLUSH_AT: usize = 64;

/// Everything behind the lock.
pub(super) struct Core {
    pub(super) machine: Machine,
    pub(super) settler: Option<AnySettler>,
    /// Where successors go: the dead-letter channel, and the channel itself.
    pub(super) dead_letter_channel: Option<Channel>,
    pub(super) channel: Channel,
    /// Why this generation is dead, until the pump has seen it.
    pub(super) dead: Option<Error>,
    /// Handed to the next caller of `next()`.
    pub(super) fatal: Option<Error>,
    pub(super) drain: Option<Drain>,
    pub(super) finished: Option<DrainReport>,
    /// Somebody found no room to ask for more.
    pub(super) starved: bool,
    /// The pump will look at settlements by itself.
    pub(super) tick_armed: bool,
    /// The pump looks now and then whether what is being handled is still ours.
    pub(super) watching: bool,
    /// It is not yet told of something.
    call_pump: bool,
    /// Until when the pump sleeps.
    pub(super) armed_until: Moment,
    pub(super) flush_requested: bool,
    pub(super) late_total: FlushReport,
    /// The same, since draining began.
    pub(super) late_draining: FlushReport,
    /// Since when a flush is pending.
    flushing: Option<Moment>,
    /// The pump waits for the end of the flush that is pending, and has armed no tick.
    pub(super) flush_awaited: bool,
    /// Settlements are over that were not, by the end of a flush or because they turned out stale, and whoever waits
    /// for that was not told yet.
    pub(super) ended: bool,
    scratch: Scratch,
}

/// What the driver answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Applied {
    /// Records whose lease was known to be lost.
    pub(super) stale: usize,
}

/// What is to be done without the lock.
#[must_use]
pub(super) struct Aftermath {
    pub(super) pump: bool,
    pub(super) wake: usize,
    pub(super) lost: bool,
    pub(super) notes: Vec<Note>,
}

impl Aftermath {
    #[inline]
    pub(super) fn is_something(&self) -> bool {
        self.pump || self.wake > 0 || self.lost || !self.notes.is_empty()
    }
}

/// Vectors that are used again and again.
#[derive(Default)]
struct Scratch {
    records: Vec<Record>,
    what: Vec<(Token, Disposition<'static>)>,
    answers: Vec<Settled>,
    late: Vec<Late>,
}

/// A drain that was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    pub(super) deadline: Moment,
}

impl Core {
    pub(super) fn new(
        machine: Machine,
        settler: AnySettler,
        channel: Channel,
        dead_letter_channel: Option<Channel>,
    ) -> Self {
        Core {
            machine,
            settler: Some(settler),
            dead_letter_channel,
            channel,
            dead: None,
            fatal: None,
            drain: None,
            finished: None,
            starved: false,
            tick_armed: false,
            watching: false,
            call_pump: false,
            armed_until: Moment::NEVER,
            flush_requested: false,
            late_total: FlushReport::default(),
            late_draining: FlushReport::default(),
            flushing: None,
            flush_awaited: false,
            ended: false,
            scratch: Scratch::default(),
        }
    }

    /// Moves what arrived into the machine.
    pub(super) fn take(&mut self, inbox: &mut Inbox, now: Moment) {
        loop {
            while let Some(incoming) = inbox.pop_message() {
                self.machine.accept(incoming, now);
            }
            match inbox.pop() {
                None => break,
                // A signal came first; what follows it is taken by the loop above.
                Some(Arrival::Message(incoming)) => self.accept_after_signal(*incoming, now),
                Some(Arrival::Revoking { source, generation, .. }) => self.machine.revoking(source, generation),
                Some(Arrival::Revoked { source, generation }) => self.machine.revoked(source, generation),
                Some(Arrival::LeaseLost(token)) => self.machine.lease_lost(token),
            }
        }
        self.apply();
    }

    #[cold]
    fn accept_after_signal(&mut self, incoming: Incoming, now: Moment) {
        self.machine.accept(incoming, now);
    }

    /// Records at the driver what the machine decided.
    pub(super) fn apply(&mut self) -> Applied {
        let mut applied = Applied { stale: 0 };
        while !self.machine.records.is_empty() {
            let mut records = std::mem::replace(&mut self.machine.records, std::mem::take(&mut self.scratch.records));
            self.record(&records);
            debug_assert!(
                self.settler.is_none() || self.scratch.answers.len() == records.len(),
                "a settler answers every record"
            );
            let answers = &self.scratch.answers;
            if answers.len() == records.len() && answers.iter().all(|answer| *answer == Settled::Recorded) {
                self.machine.all_answered(&mut records);
            }
            for (at, record) in records.drain(..).enumerate() {
                // A missing answer is a defect of the driver, or the connection is gone and every lease lost with it:
                // stale is the safe reading, the message comes again.
                let answer = self.scratch.answers.get(at).copied().unwrap_or(Settled::Stale);
                applied.stale += usize::from(answer == Settled::Stale);
                // No flush will say so: one that is recorded again was waited for already.
                self.ended |= answer == Settled::Stale;
                self.machine.answered(record, answer);
            }
            self.scratch.answers.clear();
            self.scratch.records = records;
        }
        applied
    }

    fn record(&mut self, records: &[Record]) {
        let Some(settler) = &mut self.settler else { return };
        let answers = &mut self.scratch.answers;
        if let [Record { token, op: Op::Ack, .. }] = records {
            return settler.record(&[(*token, Disposition::Ack)], answers);
        }
        let what = &mut self.scratch.what;
        for record in records {
            let disposition = match &record.op {
                Op::Ack => Disposition::Ack,
                Op::Release => Disposition::Release,
                Op::Retry { after, failures } => Disposition::Retry { after: *after, failures: *failures },
                Op::Extend { by } => Disposition::Extend { by: *by },
                Op::Replace { dead_letter, message } => {
                    // Borrows its successor, so it cannot wait in the reused vector; order is kept.
                    if !what.is_empty() {
                        settler.record(what, answers);
                        what.clear();
                    }
                    let to = if *dead_letter { self.dead_letter_channel.as_ref() } else { None };
                    let to = to.unwrap_or(&self.channel);
                    settler.record(&[(record.token, Disposition::Replace { to, message })], answers);
                    continue;
                }
            };
            what.push((record.token, disposition));
        }
        if !what.is_empty() {
            settler.record(what, answers);
            what.clear();
        }
    }

    /// Flushes as far as it goes without waiting; whether nothing is left unflushed.
    pub(super) fn flush(&mut self, pump: &Waker, now: impl Fn() -> Moment) -> bool {
        loop {
            if self.machine.unflushed() == 0 {
                return true;
            }
            let Some(settler) = &mut self.settler else { return false };
            if self.flushing.is_none() {
                self.machine.flush_begins();
                self.flushing = Some(now());
            }
            match settler.poll_flush(&mut Context::from_waker(pump), &mut self.scratch.late) {
                Poll::Pending => return false,
                Poll::Ready(Ok(())) => {
                    self.flushing = None;
                    self.ended = true;
                    // It may end here on a user's thread: the pump is then to be told of the next settlement.
                    self.tick_armed &= !std::mem::take(&mut self.flush_awaited);
                    self.machine.flush_ended(&mut self.scratch.late, now());
                    self.note_late();
                    self.apply();
                }
                Poll::Ready(Err(error)) => {
                    self.dead.get_or_insert(error);
                    return false;
                }
            }
        }
    }

    /// Whether a flush waits for the broker.
    pub(super) fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    /// When a flush that is pending has been pending for too long.
    pub(super) fn flush_ends_by(&self) -> Moment {
        self.flushing.map_or(Moment::NEVER, |since| since + ANSWER_WITHIN)
    }

    /// Gives the connection up when it leaves a flush unanswered: whatever else it says, nothing would ever be settled.
    pub(super) fn check_flush(&mut self, now: Moment) {
        if self.flush_ends_by() <= now {
            let stuck = "the connection leaves settlements unanswered: it is given up";
            self.dead.get_or_insert_with(|| Error::new(ErrorKind::Timeout, "settle", stuck));
        }
    }

    /// The connection is gone.
    pub(super) fn disconnect(&mut self) {
        self.settler = None;
        self.flushing = None;
        self.scratch.late.clear();
        self.machine.generation_lost();
        self.note_late();
    }

    /// Counts what was found not to be final as recorded: for the next flush, and for the drain under way.
    pub(super) fn note_late(&mut self) {
        let late = self.machine.take_late();
        self.late_total.add(&late);
        if self.drain.is_some() {
            self.late_draining.add(&late);
        }
    }

    /// Something is in the application's hands from now on: the pump is to look after its lease.
    pub(super) fn starts_watching(&mut self) {
        self.call_pump |= !std::mem::replace(&mut self.watching, true);
    }

    /// Whether [`aftermath`](Self::aftermath) has anything to say after deliveries were taken.
    pub(super) fn has_aftermath(&self) -> bool {
        self.call_pump || !self.machine.notes.is_empty()
    }

    /// What is to be done without the lock, after the machine moved; `taking` deliveries go to the caller itself.
    pub(super) fn aftermath(&mut self, taking: usize) -> Aftermath {
        let starved = self.starved && self.machine.demand() > 0;
        self.starved &= !starved;
        let over = usize::from(self.is_over()) * usize::MAX;
        Aftermath {
            pump: self.needs_pump(),
            wake: self.machine.ready().saturating_sub(taking).max(usize::from(starved)).max(over),
            lost: self.machine.take_lost(),
            notes: std::mem::take(&mut self.machine.notes),
        }
    }

    /// Whether the pump has something to do that it does not know of.
    fn needs_pump(&mut self) -> bool {
        let tick = self.machine.unflushed() > 0 && !self.tick_armed;
        if tick {
            self.tick_armed = true;
        }
        // Nobody calls the pump twice for one deadline: it arms its timer anew whenever it ran.
        let deadline = self.machine.next_deadline();
        let sooner = deadline < self.armed_until;
        if sooner {
            self.armed_until = deadline;
        }
        std::mem::take(&mut self.call_pump)
            || tick
            || sooner
            || self.dead.is_some()
            || (self.ended && self.flush_requested)
            || !self.machine.successors.is_empty()
            || self.drain.is_some()
    }

    /// Whether `next()` has nothing more to give, ever.
    pub(super) fn is_over(&self) -> bool {
        self.finished.is_some()
            || (self.drain.is_some() && self.machine.ready() == 0 && !self.machine.hands_out_while_draining())
    }
}
