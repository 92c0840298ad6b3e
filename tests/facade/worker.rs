//! The worker: how handlers end, how many run, and how it stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pontoon::middleware::Spans;
use pontoon::prelude::*;
use pontoon::{
    BoxError, DeliveryGuarantee, Done, ErrorKind, Event, EventHook, EventKind, Extract, Failure, FromHeader, FromRef,
    HandlerService, Header, HeaderValue, Headers, Job, Lease, Message, Meta, ReasonKind, WorkerReport,
};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

use crate::support::{FLIGHTS, Flight, LOOSE, Seen, broker, empty, flight, until};

const ONCE_A_SECOND: Retry = Retry::fixed(Duration::from_secs(1)).jitter(0.0).attempts(3);

/// Publishes flights and runs a worker until nothing is left.
async fn run_dry(
    broker: &Broker,
    numbers: std::ops::Range<u64>,
    worker: Worker<impl Clone + Send + Sync + 'static>,
) -> WorkerReport {
    broker.publisher(LOOSE).await.unwrap().publish_all(numbers.map(flight)).await.into_result().unwrap();
    worker.run_until(empty(broker, &LOOSE)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_handler_is_mapped() {
    #[derive(Debug)]
    struct Broken;
    impl std::fmt::Display for Broken {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("broken")
        }
    }
    impl std::error::Error for Broken {}
    fn broken() -> Result<(), Broken> {
        Err(Broken)
    }
    async fn handler(flight: Flight, attempt: Attempt, State(seen): State<Seen<(u64, u32, u64)>>) -> Outcome {
        let second = Instant::now().duration_since(*START.get().unwrap()).as_secs();
        seen.push((flight.number, attempt.at_least, second));
        match (flight.number, attempt.at_least) {
            (0, _) => done(),
            (1, 1) => {
                broken()?;
                done()
            }
            (2, 1) => retry_after(Duration::from_secs(10)),
            (3, _) => reject("unwanted"),
            (4, _) => {
                broken().map_err(permanent)?;
                done()
            }
            (5, 1) if seen.all().iter().filter(|(number, ..)| *number == 5).count() == 1 => release(),
            (6, 1) => panic!("six"),
            (7, _) => Err(Broken.into()),
            _ => done(),
        }
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.set(Instant::now()).unwrap();
    let broker = broker().await;
    let seen = Seen::default();
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(LOOSE, handler, ONCE_A_SECOND);
    let report = run_dry(&broker, 0..8, worker).await;

    let of = |number| seen.all().into_iter().filter(|s| s.0 == number).map(|(_, a, s)| (a, s)).collect::<Vec<_>>();
    assert_eq!(of(0), [(1, 0)]);
    assert_eq!(of(1), [(1, 0), (2, 1)], "an error is retried after the policy's wait");
    assert_eq!(of(2), [(1, 0), (2, 10)], "retry_after names the wait");
    assert_eq!(of(3), [(1, 0)]);
    assert_eq!(of(4), [(1, 0)]);
    assert_eq!(of(5), [(1, 0), (1, 0)], "a release is not counted");
    assert_eq!(of(6), [(1, 0), (2, 1)], "a panic is a failed attempt");
    assert_eq!(of(7), [(1, 0), (2, 1), (3, 2)], "three attempts");
    assert_eq!(report.to_string(), "handled=5 retried=5 dead_lettered=3 released=1 abandoned=0 panicked=1");

    let dead = broker.dead_letters(LOOSE).await.unwrap().list(10).await.unwrap();
    let mut dead: Vec<String> = dead.iter().map(|d| d.to_string().split_once(' ').unwrap().1.to_owned()).collect();
    dead.sort();
    assert_eq!(dead, ["max-attempts: broken", "rejected: broken", "rejected: unwanted"]);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_a_failed_attempt_and_drops_the_future() {
    struct Guard(Seen<&'static str>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.push("dropped");
        }
    }
    let handler = |_flight: Flight, attempt: Attempt, State(seen): State<Seen<&'static str>>| async move {
        let _guard = Guard(seen);
        if attempt.at_least == 1 {
            std::future::pending::<()>().await;
        }
        done()
    };
    let (broker, seen) = (broker().await, Seen::default());
    let worker = Worker::new(broker.clone())
        .state(seen.clone())
        .handle(LOOSE, handler, ONCE_A_SECOND)
        .timeout(Duration::from_secs(5));
    let began = Instant::now();
    let report = run_dry(&broker, 0..1, worker).await;
    assert_eq!((report.handled, report.retried, report.timed_out), (1, 1, 1), "{report}");
    assert_eq!(seen.len(), 2);
    assert!(began.elapsed() >= Duration::from_secs(6) && began.elapsed() < Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn concurrency_is_what_was_asked_for() {
    #[derive(Clone, Default)]
    struct Gauge(Arc<[AtomicUsize; 2]>);
    async fn handler(_flight: Flight, State(Gauge(gauge)): State<Gauge>) {
        let now = gauge[0].fetch_add(1, Ordering::SeqCst) + 1;
        gauge[1].fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_millis(100)).await;
        gauge[0].fetch_sub(1, Ordering::SeqCst);
    }
    for tasks in [1, 3, 20] {
        let (broker, gauge) = (broker().await, Gauge::default());
        let worker = Worker::new(broker.clone()).state(gauge.clone()).handle(LOOSE, handler, Retry::never());
        let began = Instant::now();
        let report = run_dry(&broker, 0..60, worker.concurrency(tasks)).await;
        assert_eq!(report.handled, 60);
        assert_eq!(gauge.0[1].load(Ordering::SeqCst), tasks, "at most so many at once, and that many");
        let rounds = 60_u64.div_ceil(tasks as u64);
        assert!(began.elapsed() < Duration::from_millis(rounds * 100 + 90), "{tasks}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn order_holds_per_key_with_many_tasks_and_failures() {
    async fn handler(flight: Flight, attempt: Attempt, State(seen): State<Seen<Flight>>) -> Outcome {
        sleep(Duration::from_millis(flight.number % 7)).await;
        if flight.number.is_multiple_of(5) && attempt.at_least == 1 {
            return Err(Failure::new("once"));
        }
        seen.push(flight);
        done()
    }
    let (broker, seen) = (broker().await, Seen::default());
    broker.publisher(FLIGHTS).await.unwrap().publish_all((0..300).map(flight)).await.into_result().unwrap();
    let worker =
        Worker::new(broker.clone()).state(seen.clone()).handle(FLIGHTS, handler, ONCE_A_SECOND).concurrency(16);
    let report = worker.run_until(empty(&broker, &FLIGHTS)).await.unwrap();
    assert_eq!((report.handled, report.retried), (300, 60), "{report}");
    for origin in ["LAX", "SFO", "JFK"] {
        let numbers: Vec<u64> = seen.all().iter().filter(|f| f.origin == origin).map(|f| f.number).collect();
        assert!(numbers.is_sorted() && numbers.len() == 100, "{origin}: {numbers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn extractors_give_what_they_say() {
    #[derive(Clone)]
    struct App {
        seen: Seen<String>,
        greeting: Greeting,
    }
    #[derive(Clone)]
    struct Greeting(&'static str);
    impl FromRef<App> for Greeting {
        fn from_ref(app: &App) -> Self {
            app.greeting.clone()
        }
    }
    struct Tenant(String);
    impl FromHeader for Tenant {
        const NAME: &'static str = "tenant";
        fn from_header(value: &HeaderValue) -> Option<Self> {
            value.as_str().map(|name| Tenant(name.to_owned()))
        }
    }
    struct Body(usize);
    impl<S> Extract<S> for Body {
        fn extract(job: &Job, _: &S) -> Result<Self, Failure> {
            Ok(Body(job.message.body.len()))
        }
    }
    #[allow(clippy::too_many_arguments)] // the most a handler may have
    async fn handler(
        flight: Flight,
        attempt: Attempt,
        State(app): State<App>,
        State(Greeting(greeting)): State<Greeting>,
        meta: Meta,
        headers: Headers,
        Header(Tenant(tenant)): Header<Tenant>,
        other: Option<Header<Tenant>>,
        Both(lease, Body(size)): Both<Lease, Body>,
    ) -> Outcome {
        assert!(!lease.is_lost() && lease.generation() > 0);
        assert_eq!(lease.extend(Duration::from_secs(60)).unwrap(), pontoon::Settled::Recorded);
        let key = meta.key().unwrap();
        assert!(meta.timestamp().is_some() && meta.dead_letter().is_none() && meta.redrives() == 0);
        assert_eq!((meta.source().to_string().as_str(), meta.attempt()), ("flights", attempt));
        assert_eq!((meta.type_name().as_str(), meta.content_type().as_str()), ("Flight", "application/json"));
        app.seen.push(format!(
            "{greeting} {} {} {key} {tenant} {} {} {} {size}",
            flight.number,
            meta.id(),
            headers.len(),
            other.is_some(),
            meta.reply_to().unwrap(),
        ));
        done()
    }
    let broker = broker().await;
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    let full = |m: Message| m.with_id("m").with_header("tenant", "acme").with_reply_to("back");
    flights.publish_with(&flight(1), full).await.unwrap();
    // Without the header, and with one of another kind.
    flights.publish(&flight(2)).await.unwrap();
    flights.publish_with(&flight(3), |m| m.with_header("tenant", 7_i64)).await.unwrap();
    let app = App { seen: Seen::default(), greeting: Greeting("hello") };
    let worker = Worker::new(broker.clone()).state(app.clone()).handle(FLIGHTS, handler, Retry::never());
    let report = worker.run_until(empty(&broker, &FLIGHTS)).await.unwrap();
    assert_eq!(app.seen.all(), ["hello 1 m SFO acme 1 true back 27"]);
    assert_eq!((report.handled, report.dead_lettered), (1, 2));
    let dead = broker.dead_letters(FLIGHTS).await.unwrap().list(10).await.unwrap();
    assert!(dead.iter().all(|dead| dead.reason() == Some(ReasonKind::Undecodable)));
    let mut errors: Vec<&str> = dead.iter().map(|dead| dead.info().error.as_deref().unwrap()).collect();
    errors.sort_unstable();
    assert!(errors[0].contains("cannot be read") && errors[1].contains("is missing"), "{errors:?}");
}

impl<S, A: Extract<S>, B: Extract<S>> Extract<S> for Both<A, B> {
    fn extract(job: &Job, state: &S) -> Result<Self, Failure> {
        Ok(Both(A::extract(job, state)?, B::extract(job, state)?))
    }
}
/// An extractor made of two, as an application may write it.
struct Both<A, B>(A, B);

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_seen_by_the_handler_and_nothing_is_lost() {
    async fn handler(
        flight: Flight,
        Both(lease, attempt): Both<Lease, Attempt>,
        State(seen): State<Seen<String>>,
    ) -> Outcome {
        if seen.len() == 0 {
            seen.push(format!("{} began", flight.number));
            // The connection is cut by the test.
            lease.lost().await;
            seen.push("lost".into());
            return done();
        }
        seen.push(format!("{} again, attempt {}", flight.number, attempt.at_least));
        done()
    }
    let seen = Seen::default();
    let (broker, server) = crate::support::broker_with_server();
    broker.publisher(LOOSE).await.unwrap().publish(&flight(1)).await.unwrap();
    let cut = async {
        until("the handler runs", || seen.len() == 1).await;
        server.disconnect_all();
        until("the handler ran again", || seen.len() == 3).await;
        empty(&broker, &LOOSE).await;
    };
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(LOOSE, handler, ONCE_A_SECOND);
    let report = worker.run_until(cut).await.unwrap();
    assert_eq!(seen.all(), ["1 began", "lost", "1 again, attempt 1"], "a lost connection is no failure");
    assert_eq!((report.handled, report.stale), (1, 1), "{report}");
}

#[derive(Clone)]
struct Tagged<V>(V, Seen<&'static str>, &'static str);
impl<V: Service<Job>> Service<Job> for Tagged<V> {
    type Response = V::Response;
    type Error = V::Error;
    type Future = V::Future;
    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), V::Error>> {
        self.0.poll_ready(cx)
    }
    fn call(&mut self, job: Job) -> V::Future {
        self.1.push(self.2);
        self.0.call(job)
    }
}

#[tokio::test(start_paused = true)]
async fn layers_stand_around_the_handler_and_keep_what_it_says() {
    /// Refuses the second message, and passes errors on in another type, as tower's own middleware does.
    #[derive(Clone)]
    struct Picky(HandlerService, Arc<AtomicUsize>);
    impl Service<Job> for Picky {
        type Response = Done;
        type Error = BoxError;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<Done, BoxError>> + Send>>;
        fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
            self.0.poll_ready(cx).map_err(Into::into)
        }
        fn call(&mut self, job: Job) -> Self::Future {
            let call = self.0.call(job);
            let refused = self.1.fetch_add(1, Ordering::SeqCst) == 1;
            Box::pin(async move {
                if refused {
                    return Err("picky".into());
                }
                Ok(call.await?)
            })
        }
    }
    struct PickyLayer(Arc<AtomicUsize>);
    impl Layer<HandlerService> for PickyLayer {
        type Service = Picky;
        fn layer(&self, inner: HandlerService) -> Picky {
            Picky(inner, self.0.clone())
        }
    }
    struct Tag(Seen<&'static str>, &'static str);
    impl<V> Layer<V> for Tag {
        type Service = Tagged<V>;
        fn layer(&self, inner: V) -> Tagged<V> {
            Tagged(inner, self.0.clone(), self.1)
        }
    }
    async fn handler(flight: Flight, State(seen): State<Seen<&'static str>>) -> Outcome {
        seen.push("handler");
        if flight.number == 0 { reject("not zero") } else { done() }
    }
    let (broker, seen) = (broker().await, Seen::default());
    let worker = Worker::new(broker.clone())
        .state(seen.clone())
        .handle(LOOSE, handler, ONCE_A_SECOND)
        .concurrency(1)
        .layer(PickyLayer(Arc::default()))
        .layer(Spans)
        .layer(Tag(seen.clone(), "inner"))
        .layer(Tag(seen.clone(), "outer"));
    let report = run_dry(&broker, 0..2, worker).await;
    assert_eq!((report.handled, report.retried, report.dead_lettered), (1, 1, 1), "{report}");
    assert_eq!(seen.all()[..3], ["outer", "inner", "handler"]);
    let dead = broker.dead_letters(LOOSE).await.unwrap().list(10).await.unwrap();
    assert!(dead[0].to_string().ends_with("rejected: not zero"), "{}", dead[0]);
}

#[tokio::test(start_paused = true)]
async fn towers_own_middleware_fits() {
    async fn handler(_flight: Flight) {}
    let broker = broker().await;
    let layer = tower::util::MapRequestLayer::new(|job: Job| job);
    let worker = Worker::new(broker.clone()).handle(LOOSE, handler, Retry::never()).layer(layer);
    assert_eq!(run_dry(&broker, 0..5, worker).await.handled, 5);
}

#[tokio::test(start_paused = true)]
async fn stopping_lets_handlers_finish_and_gives_back_the_rest() {
    async fn handler(flight: Flight, State(seen): State<Seen<u64>>) {
        sleep(Duration::from_secs(2)).await;
        seen.push(flight.number);
    }
    let (broker, seen) = (broker().await, Seen::default());
    broker.publisher(LOOSE).await.unwrap().publish_all((0..10).map(flight)).await.into_result().unwrap();
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(LOOSE, handler, Retry::never()).concurrency(3);
    let began = Instant::now();
    let report = worker.run_until(sleep(Duration::from_secs(1))).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!((report.handled, report.released, report.abandoned.len()), (3, 7, 0), "{report}");
    assert!(report.is_clean());
    let depth = broker.depth(&LOOSE).await.unwrap();
    assert_eq!((depth.ready, depth.in_flight), (7, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_end_is_abandoned_at_the_deadline_and_named() {
    async fn handler(flight: Flight) {
        if flight.number == 0 {
            std::future::pending::<()>().await;
        }
        sleep(Duration::from_secs(2)).await;
    }
    let broker = broker().await;
    let flights = broker.publisher(LOOSE).await.unwrap();
    flights.publish_with(&flight(0), |m| m.with_id("endless")).await.unwrap();
    flights.publish(&flight(1)).await.unwrap();
    let worker =
        Worker::new(broker.clone()).handle(LOOSE, handler, Retry::never()).drain_within(Duration::from_secs(5));
    let began = Instant::now();
    let report = worker.run_until(sleep(Duration::from_secs(1))).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    assert_eq!((report.handled, report.abandoned.len()), (1, 1), "{report}");
    assert_eq!(report.abandoned[0].to_string(), "endless");
    assert!(!report.is_clean());
    // It comes back, to another worker.
    let again = broker.subscribe(LOOSE).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((again.message().id.to_string().as_str(), again.attempt().at_least), ("endless", 1));
    let _ = again.ack();
}

#[tokio::test(start_paused = true)]
async fn dropping_a_running_worker_loses_nothing() {
    async fn handler(_flight: Flight, State(seen): State<Seen<()>>) {
        seen.push(());
        std::future::pending::<()>().await;
    }
    let (broker, seen) = (broker().await, Seen::default());
    broker.publisher(LOOSE).await.unwrap().publish(&flight(1)).await.unwrap();
    let worker = Worker::new(broker.clone()).state(seen.clone()).handle(LOOSE, handler, Retry::never());
    let running = tokio::spawn(worker.run_until(std::future::pending()));
    until("the handler runs", || seen.len() == 1).await;
    running.abort();
    let again = broker.subscribe(LOOSE).await.unwrap().next().await.unwrap().unwrap();
    assert_eq!((again.payload().number, again.attempt().at_least), (1, 1));
    let _ = again.ack();
}

#[tokio::test(start_paused = true)]
async fn mistakes_are_told_before_anything_is_handled() {
    async fn handler(_flight: Flight) {}
    let broker = broker().await;
    let new = || Worker::new(broker.clone());
    let stop = || std::future::ready(());
    for (worker, told) in [
        (new(), "no handler"),
        (new().concurrency(3).handle(LOOSE, handler, Retry::never()), "belongs to a handler"),
        (new().handle(LOOSE, handler, Retry::never()).concurrency(0), "concurrency of 0"),
        (
            new().handle(LOOSE, handler, Retry::never()).handle(LOOSE, handler, Retry::never()),
            "one handler, or several routes",
        ),
        (new().handle(Queue::<Flight>::new("silent"), handler, Retry::never()), "nothing says where messages go"),
        (new().handle(LOOSE, handler, Retry::never()).guarantee(DeliveryGuarantee::AtMostOnce), "at-most-once"),
    ] {
        let error = worker.run_until(stop()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{told}: {error}");
        assert!(error.to_string().contains(told), "{error}");
        assert!(error.help().is_some() || told.contains("belongs") || told.contains("of 0"), "{error}");
    }
    let error = new().handle(LOOSE.named("a/b"), handler, Retry::never()).run_until(stop()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidName);
}

#[tokio::test(start_paused = true)]
async fn at_most_once_never_handles_twice() {
    const FIRE: Queue<Flight> = Queue::new("fire").discard_failed();
    async fn handler(flight: Flight, State(seen): State<Seen<u64>>) -> Outcome {
        seen.push(flight.number);
        if flight.number == 1 { Err(Failure::new("oops")) } else { done() }
    }
    let (broker, seen) = (broker().await, Seen::default());
    broker.publisher(FIRE).await.unwrap().publish_all((0..3).map(flight)).await.into_result().unwrap();
    let worker = Worker::new(broker.clone())
        .state(seen.clone())
        .handle(FIRE, handler, Retry::never())
        .guarantee(DeliveryGuarantee::AtMostOnce);
    let report = worker.run_until(async { until("all came", || seen.len() >= 3).await }).await.unwrap();
    let mut numbers = seen.all();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!((report.handled, report.retried, report.dead_lettered, report.dropped), (2, 0, 0, 1), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_ends_for_good_ends_the_worker_with_its_error() {
    async fn handler(_flight: Flight) {}
    let (broker, server) = crate::support::broker_with_server();
    broker.ensure(&FLIGHTS).await.unwrap();
    broker.publisher(LOOSE).await.unwrap().publish(&flight(1)).await.unwrap();
    let worker =
        Worker::new(broker.clone()).handle(LOOSE, handler, Retry::never()).handle(FLIGHTS, handler, Retry::never());
    let running = tokio::spawn(worker.run_until(std::future::pending()));
    empty(&broker, &LOOSE).await;
    server.delete("loose");
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert!(error.context("report").unwrap().starts_with("handled=1 "), "{error}");
}

/// A hook that keeps the kinds of events.
#[derive(Clone, Default)]
struct Recorder(Seen<EventKind>);
impl EventHook for Recorder {
    fn wants(&self, _: EventKind) -> bool {
        true
    }
    fn on_event(&self, event: &Event<'_>) {
        self.0.push(event.kind());
    }
}

#[tokio::test(start_paused = true)]
async fn an_applications_own_hook_gets_the_events_of_workers_too() {
    async fn handler(flight: Flight, attempt: Attempt) -> Outcome {
        match (flight.number, attempt.at_least) {
            (0, 1) => Err(Failure::new("once")),
            (1, _) => reject("no"),
            _ => done(),
        }
    }
    let recorder = Recorder::default();
    let broker = Broker::builder().hook(recorder.clone()).connect("memory://").await.unwrap();
    let worker = Worker::new(broker.clone()).handle(LOOSE, handler, ONCE_A_SECOND);
    let report = run_dry(&broker, 0..2, worker).await;
    assert_eq!((report.handled, report.retried, report.dead_lettered), (1, 1, 1), "{report}");
    let count = |kind| recorder.0.all().iter().filter(|k| **k == kind).count();
    assert_eq!((count(EventKind::Delivered), count(EventKind::Retried), count(EventKind::DeadLettered)), (3, 1, 1));
    assert!(count(EventKind::Published) >= 2);
}
