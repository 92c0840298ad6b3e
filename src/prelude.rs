//! What most programs use: `use pontoon::prelude::*;`.

pub use crate::{
    Attempt, Broker, Outcome, Queue, Raw, Retry, State, Topic, Worker, done, permanent, reject, release, retry_after,
    shutdown_signal,
};
