//! What happened in a run, written down: what was asked, what was answered, what was delivered, what went wrong on
//! purpose. The [checker](crate::checker) judges it and shares nothing with the code that counted.
//!
//! A [`Recorder`] takes [`Event`]s, one recorder for each process. A [`History`] is what all of them wrote, in the order
//! of its times; it is read from files of one JSON object per line, or taken from recorders in memory.
//!
//! What is *asked* and what is *answered* are two events: an answer that is missing is unknown, never a success and
//! never a failure. In a file the first is written before the call is made, the second after it returned.

mod body;
mod clock;
mod event;
mod names;
mod read;
mod recorder;

pub use body::{Payload, Seen, hash_of, headers_hash};
pub use clock::RunClock;
pub use event::{
    Answer, DeadLetter, Delivery, DrainEnd, End, Event, FaultKind, Outcome, Publish, Subscribe, Subscription, What,
};
pub use names::{Handle, LeaseId, Name, Nanos, Position, PublishId, SourceName};
pub use read::{History, HistoryError};
pub use recorder::Recorder;
