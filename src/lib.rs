//! One bridge over every message broker.

mod broker;
mod channel;
mod codec;
mod connect;
mod context;
mod dead_letters;
#[cfg(all(doctest, feature = "memory", feature = "json"))]
mod guide;
mod hook;
pub mod middleware;
pub mod prelude;
mod publisher;
mod subscription;
mod worker;

pub use broker::{Broker, BrokerBuilder};
pub use channel::{Carries, Destination, Named, Queue, Readable, Subscribed, Topic};
pub use codec::{Codec, Json, Plain, Raw};
pub use connect::transport;
pub use dead_letters::{DeadLetter, DeadLetters, MAX_REDRIVES, RedriveReport};
pub use hook::TracingHook;
pub use publisher::Publisher;
pub use subscription::{Delivery, Subscribe, Subscription};
pub use worker::{
    Action, Arguments, AsyncReturn, BoxError, DEFAULT_CONCURRENCY, Done, Extract, Failure, FromHeader, FromRef,
    Handler, HandlerError, HandlerService, Header, IntoOutcome, Job, Meta, Outcome, State, Worker, WorkerReport, done,
    permanent, reject, release, retry_after, shutdown_signal,
};

pub use pontoon_core::driver::{AnyTransport, DepthReport, Settled};
pub use pontoon_core::engine::{
    ConsumerOptions, DrainReport, FlushReport, Lease, Pending, PublishAllError, PublishError, Published,
    PublisherOptions, PublisherReport, PublisherStats, Reconnect, ReleasePace,
};
pub use pontoon_core::*;

/// Connects to the broker at this URL, with default settings: [`Broker::builder`] has more.
///
/// # Errors
/// As [`transport`].
pub async fn connect(url: &str) -> Result<Broker> {
    Broker::builder().connect(url).await
}
