//! Workers: handlers, what they may ask for, how they end, and the loop around them.

mod drain;
mod extract;
mod handler;
mod job;
mod lane;
mod outcome;
mod policy;
mod report;
mod runner;
mod signal;
#[allow(clippy::module_inception)]
mod worker;

pub use extract::{Extract, FromHeader, FromRef, Header, Meta, State};
pub use handler::{Arguments, AsyncReturn, Handler};
pub use job::Job;
pub use outcome::{
    Action, BoxError, Done, Failure, HandlerError, IntoOutcome, Outcome, done, permanent, reject, release, retry_after,
};
pub use policy::DEFAULT_CONCURRENCY;
pub use report::WorkerReport;
pub use runner::HandlerService;
pub use signal::shutdown_signal;
pub use worker::Worker;
