//! [`Worker`]: handlers on channels, run until told to stop.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pontoon_core::engine::{Consumer, ConsumerOptions};
use pontoon_core::{Capability, DeliveryGuarantee, Error, ErrorKind, Result, Retry, Source, Text};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::{Layer, Service};

use super::drain::{DEFAULT_DRAIN, drain};
use super::handler::Ended;
use super::lane::Lane;
use super::policy::{Policies, Policy, Routed};
use super::report::{Counters, Counting, WorkerReport};
use super::runner::{Direct, HandlerService, Layered, Routes};
use super::{Arguments, AsyncReturn, BoxError, Done, Handler, IntoOutcome, Job, shutdown_signal};
use crate::Broker;
use crate::channel::Readable;

/// Runs handlers on channels, several at once, until told to stop.
///
/// ```no_run
/// # use pontoon::prelude::*;
/// # use std::time::Duration;
/// # const ORDERS: Queue<Raw> = Queue::new("orders").dead_letter("orders.dead");
/// # async fn on_order(order: Raw) -> Outcome { done() }
/// # async fn run(broker: Broker) -> pontoon::Result<()> {
/// let report = Worker::new(broker)
///     .handle(ORDERS, on_order, Retry::DEFAULT)
///     .concurrency(16)
///     .timeout(Duration::from_secs(10))
///     .run_until(shutdown_signal())
///     .await?;
/// println!("{report}");
/// # Ok(())
/// # }
/// ```
///
/// Each handler has `concurrency` long-lived tasks, each of which takes a message, handles it, settles it, and takes
/// the next: no task is made for a message.
#[must_use = "a worker does nothing until `run` or `run_until`"]
pub struct Worker<S = ()> {
    broker: Broker,
    state: S,
    entries: Vec<Entry>,
    drain_within: Duration,
    /// The first mistake in building, told when the worker is run.
    mistake: Option<Error>,
}

/// One handler on one channel.
struct Entry {
    source: Source,
    /// The type it is chosen by, where it shares its channel with others.
    routed: Option<Text>,
    service: HandlerService,
    policy: Policy,
    options: ConsumerOptions,
}

impl Worker {
    /// A worker without state or handlers.
    pub fn new(broker: Broker) -> Self {
        Worker { broker, state: (), entries: Vec::new(), drain_within: DEFAULT_DRAIN, mistake: None }
    }
}

impl<S: Clone + Send + Sync + 'static> Worker<S> {
    /// The state of the handlers that are added after this: they take it, or parts of it, as
    /// [`State`](crate::State). It is cloned for each message, so put large things into an `Arc`.
    pub fn state<X: Clone + Send + Sync + 'static>(self, state: X) -> Worker<X> {
        let Worker { broker, state: _, entries, drain_within, mistake } = self;
        Worker { broker, state, entries, drain_within, mistake }
    }

    /// Adds a handler for every message of a queue or subscription.
    ///
    /// `retry` says how often a message may fail and how long it waits in between. A body that cannot be read is
    /// dead-lettered as `undecodable` without calling the handler. A panic is a failed attempt like any error.
    pub fn handle<Ch, H, Args>(self, channel: Ch, handler: H, retry: Retry) -> Self
    where
        Ch: Readable,
        H: Handler<Args>,
        Args: Arguments<Ch::Payload, S>,
        H::Returned: AsyncReturn + Send,
        Ended<H, Args>: IntoOutcome,
    {
        self.add(&channel, None, handler, retry)
    }

    /// Adds a handler for the messages of one type on a channel that carries several: it gets those whose type name is
    /// the channel constant's ([`Queue::carrying`](crate::Queue::carrying)).
    ///
    /// All routes of a channel share one consumer. A message that no route takes is dead-lettered as `no-handler`.
    pub fn route<Ch, H, Args>(self, channel: Ch, handler: H, retry: Retry) -> Self
    where
        Ch: Readable,
        H: Handler<Args>,
        Args: Arguments<Ch::Payload, S>,
        H::Returned: AsyncReturn + Send,
        Ended<H, Args>: IntoOutcome,
    {
        let name = channel.wire_type();
        self.add(&channel, Some(name), handler, retry)
    }

    fn add<Ch, H, Args>(mut self, channel: &Ch, routed: Option<Text>, handler: H, retry: Retry) -> Self
    where
        Ch: Readable,
        H: Handler<Args>,
        Args: Arguments<Ch::Payload, S>,
        H::Returned: AsyncReturn + Send,
        Ended<H, Args>: IntoOutcome,
    {
        match channel.source_as(None) {
            Ok(source) => {
                let direct = Direct::<H, Args, S, Ch::Payload, Ch::Codec>::new(handler, self.state.clone());
                let mut options = ConsumerOptions::default();
                options.retry = retry;
                let policy = Policy::new(retry);
                self.entries.push(Entry { source, routed, service: HandlerService::new(direct), policy, options });
            }
            Err(error) => self.mistake = self.mistake.or(Some(error)),
        }
        self
    }

    /// Changes the handler that was added last.
    fn last(mut self, method: &str, change: impl FnOnce(&mut Entry) -> Result<(), String>) -> Self {
        let refused = match self.entries.last_mut() {
            Some(entry) => change(entry),
            None => Err(format!("`.{method}(…)` belongs to a handler; add one with `.handle(…)` first")),
        };
        if let Err(message) = refused {
            self.mistake = self.mistake.or(Some(Error::new(ErrorKind::InvalidConfig, "run worker", message)));
        }
        self
    }

    /// How many messages the handler added last handles at once; 8 unless said otherwise. On an ordered channel one
    /// key is handled by one of them at a time.
    pub fn concurrency(self, tasks: usize) -> Self {
        self.last("concurrency", |entry| {
            if tasks == 0 {
                return Err("a concurrency of 0 would never handle anything; use at least 1".into());
            }
            entry.policy.concurrency = tasks;
            Ok(())
        })
    }

    /// How long the handler added last may take over one message; unlimited unless said otherwise. Then its future is
    /// dropped, and the attempt has failed.
    pub fn timeout(self, within: Duration) -> Self {
        self.last("timeout", |entry| {
            entry.policy.timeout = Some(within);
            Ok(())
        })
    }

    /// Puts tower middleware around each call of the handler added last; the layer added last is the outermost.
    ///
    /// The layer sees a [`Job`] and a [`HandlerService`]. An error of its own (such as that of a load limit) means a
    /// retry; one that it passes on keeps what the handler said. It costs an allocation for each message.
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<HandlerService>,
        L::Service: Service<Job, Response = Done, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static,
    {
        self.last("layer", |entry| {
            entry.service = HandlerService::new(Layered(layer.layer(entry.service.clone())));
            Ok(())
        })
    }

    /// The most messages that are fetched and unsettled at once for the channel of the handler added last; 256, or
    /// its concurrency if that is more, unless said otherwise.
    pub fn prefetch(self, messages: usize) -> Self {
        self.last("prefetch", |entry| {
            entry.options.prefetch = messages;
            Ok(())
        })
    }

    /// What the channel of the handler added last guarantees; at least once unless said otherwise.
    pub fn guarantee(self, guarantee: DeliveryGuarantee) -> Self {
        self.last("guarantee", |entry| {
            entry.options.guarantee = guarantee;
            Ok(())
        })
    }

    /// The volatile form of this capability is good enough for the channel of the handler added last: what it keeps is
    /// gone with the process.
    pub fn allow_volatile(self, capability: Capability) -> Self {
        self.last("allow_volatile", |entry| {
            entry.options.allow_volatile.push(capability);
            Ok(())
        })
    }

    /// How long stopping may take; 30 s unless said otherwise. What is still being handled then is abandoned, named in
    /// the report, and delivered again.
    pub fn drain_within(mut self, within: Duration) -> Self {
        self.drain_within = within;
        self
    }

    /// Runs until SIGINT or SIGTERM: [`run_until`](Self::run_until) with [`shutdown_signal`].
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until).
    pub async fn run(self) -> Result<WorkerReport> {
        self.run_until(shutdown_signal()).await
    }

    /// Opens every channel, handles messages until `shutdown` ends, then drains: fetches nothing more, gives back what
    /// was not started, and lets running handlers settle, by [`drain_within`](Self::drain_within).
    ///
    /// Dropping the future stops at once: what was being handled is released.
    ///
    /// # Errors
    /// Before anything is handled: a mistake in building ([`ErrorKind::InvalidConfig`], [`ErrorKind::InvalidName`]), or
    /// what opening a channel gives ([`ErrorKind::Unsupported`], [`ErrorKind::Conflict`], …). Later: when a subscription
    /// ended for good, such as by a deleted queue; the worker then drains the others first.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<WorkerReport> {
        let Worker { broker, entries, drain_within, mistake, .. } = self;
        if let Some(mistake) = mistake {
            return Err(mistake);
        }
        if entries.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "run worker", "the worker has no handler")
                .with_help("add one with `.handle(CHANNEL, handler, retry)`"));
        }
        let counters = Arc::new(Counters::default());
        let counting = Counting { counters: counters.clone(), inner: broker.hook().clone() };
        let environment = broker.environment().clone().with_hook(Arc::new(counting));

        let mut consumers: Vec<Arc<Consumer>> = Vec::new();
        let mut lanes = Vec::new();
        for station in stations(entries)? {
            let consumer = match broker.consumer(station.source.clone(), station.options, &environment).await {
                Ok(consumer) => consumer,
                Err(error) => {
                    let mut nothing = WorkerReport::default();
                    drain(&consumers, &mut JoinSet::new(), drain_within, &mut nothing).await;
                    return Err(error);
                }
            };
            consumers.push(consumer.clone());
            let (source, policies) = (Arc::new(station.source), Arc::new(station.policies));
            let lane = Lane { consumer, source, policies, counters: counters.clone() };
            lanes.push((station.service, lane, station.tasks));
        }

        let mut tasks = JoinSet::new();
        for (service, lane, count) in lanes {
            for _ in 0..count {
                service.spawn(lane.clone(), &mut tasks);
            }
        }
        let failed = tokio::select! {
            biased;
            () = shutdown => None,
            failed = first_failure(&mut tasks) => failed,
        };
        let mut closing = WorkerReport::default();
        drain(&consumers, &mut tasks, drain_within, &mut closing).await;
        let mut report = counters.report();
        report.released += closing.released;
        report.stale += closing.stale;
        report.unknown = closing.unknown;
        report.abandoned = closing.abandoned;
        report.errors = closing.errors;
        match failed {
            None => Ok(report),
            Some(error) => Err(error.with("report", report)),
        }
    }
}

impl<S> fmt::Debug for Worker<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers: Vec<String> = self.entries.iter().map(|entry| entry.source.to_string()).collect();
        f.debug_struct("Worker").field("handlers", &handlers).finish_non_exhaustive()
    }
}

/// Ends when a task failed, or all ended.
async fn first_failure(tasks: &mut JoinSet<Result<()>>) -> Option<Error> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Some(error),
            // Handlers' panics are caught: this one is ours.
            Err(error) => {
                return Some(
                    Error::new(ErrorKind::Internal, "run worker", "a task of the worker ended").with_source(error),
                );
            }
        }
    }
    None
}

/// One consumer with the handlers it serves.
struct Station {
    source: Source,
    service: HandlerService,
    policies: Policies,
    options: ConsumerOptions,
    tasks: usize,
}

/// One station for each source, routes put together.
fn stations(entries: Vec<Entry>) -> Result<Vec<Station>> {
    let mut by_source: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        let same = |group: &&mut Vec<Entry>| group[0].source.to_string() == entry.source.to_string();
        match by_source.iter_mut().find(same) {
            Some(group) => group.push(entry),
            None => by_source.push(vec![entry]),
        }
    }
    by_source.into_iter().map(station).collect()
}

fn station(mut group: Vec<Entry>) -> Result<Station> {
    let source = group[0].source.clone();
    let refuse = |message: &str, help: &'static str| {
        Error::new(ErrorKind::InvalidConfig, "run worker", message)
            .with("channel", &source)
            .with_help(Text::literal(help))
    };
    if group[0].routed.is_none() && group.len() == 1 {
        let Some(Entry { service, policy, mut options, .. }) = group.pop() else { unreachable!("one entry") };
        let tasks = policy.concurrency;
        if options.prefetch == ConsumerOptions::default().prefetch {
            options.prefetch = options.prefetch.max(tasks);
        }
        return Ok(Station { source, service, policies: Policies::One(policy), options, tasks });
    }
    let mut options = group[0].options.clone();
    let (mut services, mut policies, mut tasks) = (HashMap::new(), HashMap::new(), 0);
    for entry in group {
        let Entry { source: its, routed, service, policy, options: own } = entry;
        let Some(name) = routed else {
            return Err(refuse(
                "a channel has one handler, or several routes",
                "use `.route(…)` for each type on the channel, with channels made by `carrying`",
            ));
        };
        if its != source {
            return Err(refuse(
                "the routes of a channel declare different facts",
                "derive them from one constant with `carrying`",
            ));
        }
        if own.guarantee != options.guarantee {
            return Err(refuse("the routes of a channel name different guarantees", "name the same for each"));
        }
        if name.is_empty() {
            return Err(refuse(
                "a route needs a type name, and raw bodies carry none",
                "name it: `.carrying::<Raw>(\"name\")` or `.type_name(\"name\")`",
            ));
        }
        tasks += policy.concurrency;
        options.prefetch = options.prefetch.max(own.prefetch).max(tasks);
        options.allow_volatile.extend(own.allow_volatile);
        if policy.retry.longest_wait() > options.retry.longest_wait() {
            options.retry = policy.retry;
        }
        let permits = Arc::new(Semaphore::new(policy.concurrency));
        if policies.insert(name.clone(), Routed { policy, permits }).is_some() {
            return Err(
                refuse("two routes of a channel take the same type", "give each type its own name").with("type", name)
            );
        }
        services.insert(name, service);
    }
    // Each route applies its own limit; the engine's must not come first.
    let engine_decides = policies.values().all(|routed| routed.policy.retry.max_attempts() == 1);
    options.retry = options.retry.attempts(if engine_decides { 1 } else { u32::MAX });
    let service = HandlerService::new(Routes(services));
    Ok(Station { source, service, policies: Policies::ByType(policies), options, tasks })
}
