//! Two users in `next()` and one receiver: whoever finds it taken is told when it is free.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use super::{Consumer, ConsumerOptions};
use crate::driver::{
    AnyTransport, Batch, Disposition, Ensure, Extensions, Inbox, Incoming, Late, OpenConsumer, OpenProducer,
    OpenedConsumer, OpenedProducer, Producer, Receiver, Settled, Settler, Token, Transport,
};
use crate::engine::Environment;
use crate::{Capabilities, Channel, DeadLetterPolicy, Error, Message, Result, Retry, Source};

type Hook = Box<dyn FnMut() + Send>;

/// Hands out one message when it is told to. What happens while it is looked at is up to the test.
#[derive(Clone, Default)]
struct Slow {
    looked: Arc<AtomicUsize>,
    /// Runs inside the look of this number, which finds nothing.
    during: Arc<Mutex<Option<(usize, Hook)>>>,
    arrived: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Slow {
    fn arrive(&self) {
        self.arrived.store(true, Ordering::SeqCst);
        let waker = self.waker.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Transport for Slow {
    type Producer = Slow;
    type Receiver = Slow;
    type Settler = Slow;

    fn capabilities(&self, _: &Channel) -> Capabilities {
        Capabilities::new("slow-1")
    }
    async fn ensure(&self, _: &Ensure) -> Result<()> {
        Ok(())
    }
    async fn open_producer(&self, _: OpenProducer) -> Result<OpenedProducer<Slow>> {
        Ok(OpenedProducer::new(self.clone(), Capabilities::new("slow-1")))
    }
    async fn open_consumer(&self, _: OpenConsumer) -> Result<OpenedConsumer<Slow, Slow>> {
        Ok(OpenedConsumer::new(self.clone(), self.clone(), Capabilities::new("slow-1")))
    }
    fn extensions(&self) -> Extensions {
        Extensions::none()
    }
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

impl Producer for Slow {
    fn poll_submit(&mut self, _: &mut Context<'_>, _: &mut Batch<'_>) -> Poll<Result<()>> {
        Poll::Pending
    }
    fn poll_drive(&mut self, _: &mut Context<'_>) -> Poll<Error> {
        Poll::Pending
    }
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Receiver for Slow {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, _: usize) -> Poll<Result<()>> {
        let number = self.looked.fetch_add(1, Ordering::SeqCst);
        *self.waker.lock().unwrap() = Some(cx.waker().clone());
        if self.arrived.swap(false, Ordering::SeqCst) {
            into.message(Incoming::new(Token { position: 1, source: 0, generation: 1 }, Message::new("body")));
            return Poll::Ready(Ok(()));
        }
        let mut during = self.during.lock().unwrap();
        if let Some((at, hook)) = &mut *during
            && *at == number
        {
            hook();
        }
        Poll::Pending
    }
    fn hold(&mut self, _: u32, _: bool) {}
    fn poll_stop(&mut self, _: &mut Context<'_>, _: &mut Inbox) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Settler for Slow {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        answers.extend(what.iter().map(|_| Settled::Recorded));
    }
    fn poll_flush(&mut self, _: &mut Context<'_>, _: &mut Vec<Late>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_close(&mut self, _: &mut Context<'_>, _: &mut Vec<Late>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A user in `next()`, polled by hand.
#[derive(Clone)]
struct User {
    next: Arc<Mutex<Pin<Box<dyn Future<Output = bool> + Send>>>>,
    woken: Arc<Flag>,
}

impl User {
    fn of(consumer: &Consumer) -> Self {
        let consumer = consumer.clone();
        let next = Box::pin(async move { consumer.next().await.is_some_and(|next| next.is_ok()) });
        User { next: Arc::new(Mutex::new(next)), woken: Arc::default() }
    }

    /// Polls as long as it is woken: whether it has its delivery. It sleeps otherwise.
    fn run(&self) -> bool {
        for _ in 0..1_000 {
            let waker = Waker::from(self.woken.clone());
            self.woken.0.store(false, Ordering::SeqCst);
            if self.next.lock().unwrap().as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                return true;
            }
            if !self.is_woken() {
                return false;
            }
        }
        panic!("it never sleeps");
    }

    fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::SeqCst)
    }
}

async fn consumer(slow: &Slow) -> Consumer {
    let mut channel = Channel::queue("work").unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    let source = Source::new(channel, None).unwrap();
    let options = ConsumerOptions { retry: Retry::never(), ..ConsumerOptions::default() };
    Consumer::open(&AnyTransport::new(slow.clone()), source, options, &Environment::new().seeded(1)).await.unwrap()
}

/// How many looks two users take, one after the other, until both sleep.
async fn looks_of_two() -> usize {
    let slow = Slow::default();
    let consumer = consumer(&slow).await;
    let users = [User::of(&consumer), User::of(&consumer)];
    assert!(users.iter().all(|user| !user.run()));
    slow.looked.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn what_arrives_while_the_receiver_is_taken_is_found_by_somebody() {
    let last = looks_of_two().await - 1;
    let slow = Slow::default();
    let consumer = consumer(&slow).await;
    let (first, second) = (User::of(&consumer), User::of(&consumer));
    assert!(!first.run());
    // The last look of the second user has found nothing when a message comes. That wakes the first, who finds the
    // receiver taken and falls asleep again.
    let (broker, woken) = (slow.clone(), first.clone());
    let hook = move || {
        broker.arrive();
        assert!(woken.is_woken() && !woken.run());
    };
    *slow.during.lock().unwrap() = Some((last, Box::new(hook)));
    let found = second.run() || (first.is_woken() && first.run());
    assert!(found, "a message is there, and everybody sleeps");
}
