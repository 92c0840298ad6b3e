//! Completions at the worst moment: a driver that does nothing by itself, and a hook that completes from another thread
//! while the lane is held and its inbox was emptied already.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::driver::*;
use crate::engine::publish::{Publisher, PublisherOptions, lock};
use crate::engine::{Environment, Pending, Reconnect};
use crate::*;

#[derive(Default)]
struct State {
    completions: Vec<Completions>,
    taken: Vec<(Ticket, Message)>,
    /// Completed by the next `poll_drive`.
    next: Vec<Ticket>,
    dead: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Default)]
struct Manual(Arc<Mutex<State>>);

struct ManualProducer(Manual);

fn confirmed(ticket: Ticket) -> (Ticket, PublishOutcome) {
    (ticket, PublishOutcome::Confirmed(Receipt::default()))
}

impl Manual {
    /// Completes through the handle of that generation (1 is the first).
    fn complete(&self, generation: usize, ticket: Ticket) {
        let completions = lock(&self.0).completions[generation - 1].clone();
        completions.complete(&mut vec![confirmed(ticket)]);
    }
    fn ticket(&self, n: usize) -> Ticket {
        lock(&self.0).taken[n].0
    }
    fn wake(&self) {
        let waker = lock(&self.0).waker.clone();
        waker.unwrap().wake();
    }
}

impl Transport for Manual {
    type Producer = ManualProducer;
    type Receiver = AnyReceiver;
    type Settler = AnySettler;
    fn capabilities(&self, _: &Channel) -> Capabilities {
        Capabilities::new("manual")
    }
    async fn ensure(&self, _: &Ensure) -> Result<()> {
        Ok(())
    }
    async fn open_producer(&self, how: OpenProducer) -> Result<OpenedProducer<ManualProducer>> {
        lock(&self.0).completions.push(how.completions);
        Ok(OpenedProducer::new(ManualProducer(self.clone()), Capabilities::new("manual")))
    }
    async fn open_consumer(&self, _: OpenConsumer) -> Result<OpenedConsumer<AnyReceiver, AnySettler>> {
        Err(Error::new(ErrorKind::Unsupported, "open consumer", "no"))
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl Producer for ManualProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        let mut state = lock(&self.0.0);
        state.waker = Some(cx.waker().clone());
        while let Some((ticket, message)) = batch.peek() {
            state.taken.push((ticket, message.clone()));
            batch.pop();
        }
        Poll::Ready(Ok(()))
    }
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let (next, completions) = {
            let mut state = lock(&self.0.0);
            state.waker = Some(cx.waker().clone());
            if std::mem::take(&mut state.dead) {
                return Poll::Ready(Error::new(ErrorKind::Connection, "manual", "dead"));
            }
            (std::mem::take(&mut state.next), state.completions.last().cloned())
        };
        let mut outcomes: Vec<_> = next.into_iter().map(confirmed).collect();
        if let Some(completions) = completions {
            completions.complete(&mut outcomes);
        }
        Poll::Pending
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// When the first message is published, completes the second from another thread, and waits until that returned.
#[derive(Default)]
struct Meddler {
    manual: Manual,
    armed: Mutex<bool>,
}

impl EventHook for Meddler {
    fn wants(&self, kind: EventKind) -> bool {
        kind == EventKind::Published
    }
    fn on_event(&self, _: &Event<'_>) {
        if std::mem::take(&mut *lock(&self.armed)) {
            let manual = self.manual.clone();
            std::thread::spawn(move || manual.complete(1, manual.ticket(1))).join().unwrap();
        }
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn opened() -> (Arc<Meddler>, Publisher, Pin<Box<Pending>>, Pin<Box<Pending>>) {
    let meddler = Arc::new(Meddler::default());
    let env = Environment::new().seeded(1).with_hook(meddler.clone());
    let options =
        PublisherOptions { reconnect: Reconnect::new(Duration::ZERO, Duration::ZERO), ..PublisherOptions::default() };
    let any = AnyTransport::new(meddler.manual.clone());
    let publisher = Publisher::open(&any, Channel::queue("q").unwrap(), options, &env).await.unwrap();
    let first = Box::pin(publisher.enqueue(Message::new("1")).await.unwrap());
    let second = Box::pin(publisher.enqueue(Message::new("2")).await.unwrap());
    settle().await;
    assert_eq!(lock(&meddler.manual.0).taken.len(), 2);
    (meddler, publisher, first, second)
}

#[tokio::test]
async fn what_arrives_after_the_inbox_was_emptied_is_seen_by_whoever_lets_go() {
    let (meddler, publisher, mut first, mut second) = opened().await;
    *lock(&meddler.armed) = true;
    meddler.manual.complete(1, meddler.manual.ticket(0));
    // Nobody looks at the lane in between: asking would be looking.
    let settled = publisher.stats_unattended();
    assert_eq!(settled.confirmed, 2, "stranded");
    assert!(poll_once(first.as_mut()).is_ready() && poll_once(second.as_mut()).is_ready());
}

#[tokio::test]
async fn the_pump_too_looks_once_more() {
    let (meddler, publisher, mut first, mut second) = opened().await;
    *lock(&meddler.armed) = true;
    {
        let mut state = lock(&meddler.manual.0);
        let ticket = state.taken[0].0;
        state.next.push(ticket);
    }
    meddler.manual.wake();
    settle().await;
    assert_eq!(publisher.stats_unattended().confirmed, 2, "stranded");
    assert!(poll_once(first.as_mut()).is_ready() && poll_once(second.as_mut()).is_ready());
}

#[tokio::test]
async fn completions_of_a_dead_generation_count_for_nothing() {
    let (meddler, publisher, mut first, mut second) = opened().await;
    let manual = &meddler.manual;
    let old = manual.ticket(0);
    lock(&manual.0).dead = true;
    manual.wake();
    settle().await;
    tokio::time::timeout(Duration::from_secs(5), async {
        while lock(&manual.0).taken.len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("resent to the next generation");
    manual.complete(1, old);
    manual.complete(1, manual.ticket(2));
    assert_eq!(publisher.stats().late_completions, 0, "it may not know yet that it is dead");
    assert!(poll_once(first.as_mut()).is_pending());
    manual.complete(2, old);
    assert_eq!(publisher.stats().late_completions, 1, "the ticket was of another submission");
    manual.complete(2, manual.ticket(2));
    manual.complete(2, manual.ticket(3));
    assert!(poll_once(first.as_mut()).is_ready() && poll_once(second.as_mut()).is_ready());
    manual.complete(2, manual.ticket(3));
    assert_eq!(publisher.stats().late_completions, 2, "twice");
    let state = lock(&manual.0);
    assert_eq!(state.taken[0].1.id, state.taken[2].1.id, "resent under the same id");
    assert!(!state.taken[0].1.history().maybe_duplicate && state.taken[2].1.history().maybe_duplicate);
}

#[tokio::test]
async fn a_clients_thread_wakes_two_users_and_the_pump_the_others() {
    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let (meddler, publisher, _first, _second) = opened().await;
    let count = Arc::new(Count::default());
    let woken = || count.0.load(std::sync::atomic::Ordering::Relaxed);
    let waker = Waker::from(count.clone());
    let mut pending = Vec::new();
    for _ in 0..7 {
        let mut one = Box::pin(publisher.enqueue(Message::new("x")).await.unwrap());
        assert!(one.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        pending.push(one);
    }
    settle().await;
    let manual = meddler.manual.clone();
    let all = move || {
        let state = lock(&manual.0);
        let mut outcomes: Vec<_> = state.taken.iter().map(|(ticket, _)| confirmed(*ticket)).collect();
        let completions = state.completions[0].clone();
        drop(state);
        completions.complete(&mut outcomes);
    };
    std::thread::spawn(all).join().unwrap();
    assert_eq!(woken(), 2);
    settle().await;
    assert_eq!(woken(), 7);
}
