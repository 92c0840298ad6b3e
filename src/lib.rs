//! One bridge over every message broker.
//!
//! Application code publishes messages and handles them; which broker carries them is a URL and a cargo feature. The
//! same handlers, the same guarantees, whatever is behind the URL.
//!
//! ```
//! use pontoon::prelude::*;
//! use std::time::Duration;
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Serialize, Deserialize)]
//! # struct Flight { origin: String, delay: i64 }
//! # #[derive(Clone, Default)]
//! # struct Board;
//! # impl Board {
//! #     async fn record(&self, _: &Flight, _: Attempt) -> std::io::Result<()> { Ok(()) }
//! # }
//!
//! const FLIGHTS: Queue<Flight> = Queue::new("flights")      // JSON unless Queue<Flight, Cbor>
//!     .ordered_by(|f: &Flight| f.origin.as_str())
//!     .dead_letter("flights.dead");
//!
//! async fn on_flight(flight: Flight, attempt: Attempt, State(board): State<Board>) -> Outcome {
//!     if flight.delay > 120 { return reject("more than two hours late"); }
//!     board.record(&flight, attempt).await?;                // an error means: retry later
//!     done()
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(async {
//! # let shutdown_signal = || tokio::time::sleep(Duration::from_secs(1));
//! # let flight = |delay| Flight { origin: "LAX".into(), delay };
//! # let (first, rest) = (flight(1), [flight(2), flight(200)]);
//! # async {
//! let broker = pontoon::connect("memory://").await?;
//!
//! let flights = broker.publisher(FLIGHTS).await?;       // refused here if the broker cannot keep order
//! flights.publish(&first).await?;                       // confirmed; Err is Rejected or Unknown
//! flights.publish_all(rest).await.into_result()?;       // pipelined; one outcome per message
//!
//! let retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(5);
//! let report = Worker::new(broker).state(Board::default())
//!     .handle(FLIGHTS, on_flight, retry)
//!     .run_until(shutdown_signal()).await?;
//! println!("{report}");                                 // handled, retried, dead-lettered, abandoned
//! # assert_eq!((report.handled, report.dead_lettered), (2, 1));
//! # Ok::<(), pontoon::Error>(())
//! # }.await.unwrap()
//! # });
//! ```
//!
//! # Where to look
//!
//! | For | See |
//! |---|---|
//! | what is declared at the broker | [`Queue`], [`Topic`], [`Subscribed`] |
//! | connecting | [`connect`], [`Broker::from_env`], [`Broker::builder`] |
//! | publishing, and its three outcomes | [`Publisher`], [`PublishError`] |
//! | handling | [`Worker`], [`Outcome`], [`State`], [`Meta`], [`Lease`] |
//! | taking messages yourself | [`Subscription`], [`Delivery`] |
//! | what could not be handled | [`DeadLetters`] |
//! | other formats than JSON | [`Codec`], [`Raw`], [`Plain`] |
//! | what a broker can do | [`Broker::capabilities`], [`Capability`] |
//! | what happens beneath the API | [`EventHook`], [`TracingHook`] |
//! | middleware | [`middleware`] |
//! | writing a transport | [`driver`] |
//!
//! # What is promised
//!
//! - **At least once.** A confirmed message is in the end handled, dead-lettered, or still held by the broker. It may
//!   come twice: its id stays the same, so that a handler can tell.
//! - **One settlement law.** No message is settled before its successor (a retry copy, a dead letter) is confirmed.
//! - **Order survives retry**, per key, on every channel that declares order.
//! - **Three-valued outcomes.** A publish ends as confirmed, rejected or unknown, never as a guess.
//! - **Nothing degrades silently.** What a channel requires and its broker cannot do is refused when the channel opens.
//!
//! Never promised: exactly-once delivery, an order across keys, exact timing.
//!
//! # Features
//!
//! | Feature | Default | Brings |
//! |---|---|---|
//! | `memory` | yes | `memory://`, a broker in this process: for tests, and to begin with |
//! | `json` | yes | JSON bodies, the default codec |
//!
//! # Cost
//!
//! Publishing and pulling [`Raw`] bodies adds no allocation to the engine's. Calling a handler adds none either; tower
//! middleware and several types on one channel add one box for each message.
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
