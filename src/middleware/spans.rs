//! A `tracing` span around each handler.

use std::task::{Context, Poll};

use tower::{Layer, Service};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use crate::Job;

/// Runs each handler in a span `handle`, target `pontoon`, level info, with `source`, `id`, `type` and `attempt`.
///
/// ```no_run
/// # use pontoon::{middleware::Spans, prelude::*};
/// # const ORDERS: Queue<Raw> = Queue::new("orders").dead_letter("orders.dead");
/// # async fn on_order(order: Raw) -> Outcome { done() }
/// # fn worker(broker: Broker) -> Worker {
/// Worker::new(broker).handle(ORDERS, on_order, Retry::DEFAULT).layer(Spans)
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Spans;

/// What [`Spans`] makes of a handler.
#[derive(Clone, Debug)]
pub struct SpansService<V>(V);

impl<V> Layer<V> for Spans {
    type Service = SpansService<V>;
    fn layer(&self, inner: V) -> SpansService<V> {
        SpansService(inner)
    }
}

impl<V: Service<Job>> Service<Job> for SpansService<V> {
    type Response = V::Response;
    type Error = V::Error;
    type Future = Instrumented<V::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), V::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, job: Job) -> Self::Future {
        let span = tracing::info_span!(
            target: "pontoon",
            "handle",
            source = %job.source,
            id = %job.message.id,
            r#type = %job.message.type_name,
            attempt = %job.attempt,
        );
        self.0.call(job).instrument(span)
    }
}
