//! Where a process dies.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use pontoon_core::driver::{Disposition, Incoming, Settled, Token};
use pontoon_core::{Channel, Message, MessageId, PublishOutcome};
use serde::{Deserialize, Serialize};

use super::part::Role;
use crate::history::Recorder;
use crate::mutants::{Deed, Defect, Fate, Seat};

/// A place in the work of a consumer or of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Point {
    /// The transport has a message, and the engine does not.
    Received,
    /// The consumer has the delivery and has not read its body.
    Decoding,
    /// The handler has begun.
    Handling,
    /// The handler has had its effect, and has settled nothing.
    EffectDone,
    /// The engine hands over the acknowledgement, and the transport has not taken it.
    BeforeAck,
    /// The transport has taken the acknowledgement, and nobody knows whether the broker has.
    DuringAck,
    /// The acknowledgement is final.
    AfterAck,
    /// The engine hands over a message, and the transport has not taken it.
    BeforeWrite,
    /// The broker has answered for the first message of a batch, and the engine does not know.
    AfterWrite,
    /// The publisher knows the outcome and has told nobody.
    BeforeLog,
}

impl Point {
    /// All of them: those of a consumer in the order of its work, then those of a publisher.
    pub const ALL: [Point; 10] = [
        Point::Received,
        Point::Decoding,
        Point::Handling,
        Point::EffectDone,
        Point::BeforeAck,
        Point::DuringAck,
        Point::AfterAck,
        Point::BeforeWrite,
        Point::AfterWrite,
        Point::BeforeLog,
    ];

    /// Whose work it is in.
    pub(super) fn role(self) -> Role {
        match self {
            Point::BeforeWrite | Point::AfterWrite | Point::BeforeLog => Role::Publisher,
            _ => Role::Consumer,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Point::Received => "received",
            Point::Decoding => "decoding",
            Point::Handling => "handling",
            Point::EffectDone => "effect done",
            Point::BeforeAck => "before ack",
            Point::DuringAck => "during ack",
            Point::AfterAck => "after ack",
            Point::BeforeWrite => "before write",
            Point::AfterWrite => "after write",
            Point::BeforeLog => "before the outcome is logged",
        })
    }
}

/// Kills this process when it comes to its point for the last of so many times. As a [`Defect`] it changes nothing, unless
/// it is careless.
pub(super) struct Mine {
    at: Point,
    left: AtomicU64,
    recorder: Recorder,
    /// Acknowledges all that is held with each acknowledgement: what the suite must notice.
    careless: bool,
}

impl Mine {
    pub(super) fn new(at: Point, times: u64, recorder: Recorder, careless: bool) -> Self {
        Mine { at, left: AtomicU64::new(times), recorder, careless }
    }

    /// What the history says of a process that died here.
    pub(super) fn note(point: Point) -> String {
        format!("crash: {point}")
    }

    pub(super) fn is_at(&self, point: Point) -> bool {
        self.at == point
    }

    /// The process has come to this point.
    pub(super) fn step_on(&self, point: Point) {
        if self.is_at(point) && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.recorder.note(Mine::note(point));
            die();
        }
    }
}

/// As if somebody else had killed the process: nothing is flushed, nothing is dropped.
fn die() {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

impl Defect for Mine {
    fn arrive(&self, _: Seat<'_>, _: &mut Incoming) -> usize {
        self.step_on(Point::Received);
        1
    }

    fn settle<'a>(&self, _: Seat<'_>, token: Token, what: Disposition<'a>, out: &[Token]) -> Deed<'a> {
        if matches!(what, Disposition::Ack) {
            self.step_on(Point::BeforeAck);
            if self.careless {
                let others = out.iter().filter(|other| **other != token);
                return Deed::With(Disposition::Ack, others.map(|other| (*other, Disposition::Ack)).collect());
            }
        }
        Deed::Do(what)
    }

    fn answer(&self, _: Seat<'_>, what: &Disposition<'_>, answer: Settled) -> Settled {
        if matches!(what, Disposition::Ack) {
            self.step_on(Point::DuringAck);
        }
        answer
    }

    fn submit(&self, _: &Channel, message: Message) -> Fate {
        self.step_on(Point::BeforeWrite);
        Fate::Pass(message)
    }

    fn outcome(&self, _: &Channel, _: &MessageId, outcome: PublishOutcome) -> Option<PublishOutcome> {
        self.step_on(Point::AfterWrite);
        Some(outcome)
    }
}
