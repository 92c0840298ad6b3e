//! Workers: handlers, what they may ask for, how they end, and the loop around them.

mod extract;
mod handler;
mod job;
mod outcome;
#[allow(clippy::module_inception)]
mod worker;

pub use extract::{Extract, FromHeader, FromRef, Header, Meta, State};
pub use handler::{Arguments, AsyncReturn, Handler};
pub use job::Job;
pub use outcome::{
    Action, BoxError, Done, Failure, HandlerError, IntoOutcome, Outcome, done, permanent, reject, release, retry_after,
};
pub use worker::Worker;
