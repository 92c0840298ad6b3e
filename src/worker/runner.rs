//! How one job is run: directly, through middleware, or by the type of its message.
//!
//! A handler without middleware is called in place: its future is part of the task, and no message costs a box. A
//! handler behind middleware, or one of several on a channel, costs a box for each message, since tower asks for a
//! future that can be named.

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pontoon_core::{ReasonKind, Result, Text};
use tokio::task::JoinSet;
use tower::Service;

use super::handler::{self, Ended};
use super::lane::{self, Lane};
use super::{Arguments, AsyncReturn, BoxError, Done, Failure, Handler, HandlerError, IntoOutcome, Job, Outcome};
use crate::codec::Codec;

/// A boxed future.
type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs jobs, one at a time; each of a worker's tasks has its own clone.
pub(crate) trait Runner: Clone + Send + 'static {
    fn run(&mut self, job: Job) -> impl Future<Output = Outcome> + Send;
}

/// A handler, called in place.
pub(crate) struct Direct<H, Args, S, T, C> {
    handler: H,
    state: S,
    types: Types<(Args, T, C)>,
}

/// Types that a value knows without holding one of them.
type Types<X> = PhantomData<fn() -> X>;

impl<H, Args, S, T, C> Direct<H, Args, S, T, C> {
    pub(crate) fn new(handler: H, state: S) -> Self {
        Direct { handler, state, types: PhantomData }
    }
}

impl<H: Clone, Args, S: Clone, T, C> Clone for Direct<H, Args, S, T, C> {
    fn clone(&self) -> Self {
        Direct::new(self.handler.clone(), self.state.clone())
    }
}

impl<H, Args, S, T, C> Runner for Direct<H, Args, S, T, C>
where
    H: Handler<Args>,
    H::Returned: AsyncReturn + Send,
    Ended<H, Args>: IntoOutcome,
    Args: Arguments<T, S>,
    S: Clone + Send + Sync + 'static,
    T: Send + 'static,
    C: Codec<T>,
{
    async fn run(&mut self, job: Job) -> Outcome {
        let payload = C::decode(&job.message.body).map_err(Failure::undecodable)?;
        handler::run(&self.handler, payload, &job, &self.state).await
    }
}

/// A handler behind middleware.
#[derive(Clone)]
pub(crate) struct Layered<V>(pub(crate) V);

impl<V> Runner for Layered<V>
where
    V: Service<Job, Response = Done, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
{
    async fn run(&mut self, job: Job) -> Outcome {
        poll_fn(|cx| self.0.poll_ready(cx)).await.map_err(Failure::new)?;
        self.0.call(job).await.map_err(Failure::new)
    }
}

/// Several handlers on one channel, chosen by the type name of the message.
#[derive(Clone)]
pub(crate) struct Routes(pub(crate) HashMap<Text, HandlerService>);

impl Runner for Routes {
    async fn run(&mut self, job: Job) -> Outcome {
        match self.0.get_mut(&*job.message.type_name) {
            Some(handler) => handler.0.run(job).await.map_err(|HandlerError(failure)| failure),
            None => Err(Failure::dead_letter(
                ReasonKind::NoHandler,
                match job.message.type_name.as_str() {
                    "" => "the message has no type name, by which this channel's handlers are chosen".to_owned(),
                    name => format!("no handler takes messages of type `{name}`"),
                },
            )),
        }
    }
}

/// One message's handler as a tower service: what a layer is put around.
///
/// Its error is always a [`HandlerError`], which keeps what the handler said; a layer may answer with any other error,
/// which then means a retry.
pub struct HandlerService(Box<dyn Erased>);

trait Erased: Send {
    fn run(&mut self, job: Job) -> BoxFuture<Result<Done, HandlerError>>;
    fn spawn(&self, lane: Lane, tasks: &mut JoinSet<Result<()>>);
    fn boxed_clone(&self) -> Box<dyn Erased>;
}

impl<R: Runner> Erased for R {
    fn run(&mut self, job: Job) -> BoxFuture<Result<Done, HandlerError>> {
        // The future may outlive this service, so it has a runner of its own.
        let mut runner = self.clone();
        Box::pin(async move { Runner::run(&mut runner, job).await.map_err(HandlerError) })
    }

    fn spawn(&self, lane: Lane, tasks: &mut JoinSet<Result<()>>) {
        tasks.spawn(lane::work(self.clone(), lane));
    }

    fn boxed_clone(&self) -> Box<dyn Erased> {
        Box::new(self.clone())
    }
}

impl HandlerService {
    pub(crate) fn new(runner: impl Runner) -> Self {
        HandlerService(Box::new(runner))
    }

    /// Spawns one task that handles what comes through this lane.
    pub(crate) fn spawn(&self, lane: Lane, tasks: &mut JoinSet<Result<()>>) {
        self.0.spawn(lane, tasks);
    }
}

impl Clone for HandlerService {
    fn clone(&self) -> Self {
        HandlerService(self.0.boxed_clone())
    }
}

impl fmt::Debug for HandlerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerService")
    }
}

impl Service<Job> for HandlerService {
    type Response = Done;
    type Error = HandlerError;
    type Future = BoxFuture<Result<Done, HandlerError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, job: Job) -> Self::Future {
        self.0.run(job)
    }
}
