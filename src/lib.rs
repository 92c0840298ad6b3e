//! One bridge over every message broker.
#![allow(dead_code)] // what publishers and workers use comes with them

mod broker;
mod channel;
mod codec;
pub mod prelude;
mod worker;

pub use broker::Broker;
pub use channel::{Carries, Destination, Named, Queue, Readable, Subscribed, Topic};
pub use codec::{Codec, Json, Plain, Raw};
pub use worker::{
    Action, Arguments, AsyncReturn, BoxError, Done, Extract, Failure, FromHeader, FromRef, Handler, HandlerError,
    Header, IntoOutcome, Job, Meta, Outcome, State, Worker, done, permanent, reject, release, retry_after,
};

pub use pontoon_core::*;
