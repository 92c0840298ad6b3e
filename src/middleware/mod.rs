//! Middleware, of two kinds, because they fail differently.
//!
//! | Kind | Sees | Put in place by | Examples |
//! |---|---|---|---|
//! | around a transport: `AnyTransport -> AnyTransport` | batches, leases, settlements of every channel | [`BrokerBuilder::wrap`](crate::BrokerBuilder::wrap) | fault injection, recording, throttling a broker |
//! | around one message's handler: a tower [`Layer`](tower::Layer) | one [`Job`](crate::Job) and its outcome | [`Worker::layer`](crate::Worker::layer) | limits, timeouts, tracing spans |
//!
//! A transport wrapper must pass on every ability of what it wraps; what it gets wrong, it gets wrong for every message.
//! A layer can do no harm beyond its handler: its errors are failed attempts, its panics are caught.
//!
//! | Here | Kind | What it does |
//! |---|---|---|
//! | [`Spans`] | handler | Runs each handler in a `tracing` span with the message's id, channel, type and attempt |

mod spans;

pub use spans::{Spans, SpansService};
