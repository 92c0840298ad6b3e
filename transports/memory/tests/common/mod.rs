//! A publisher and a consumer at the driver seam, polled by hand.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory::*;

/// Counts its wakes.
#[derive(Default)]
pub struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    pub fn rung(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap().append(outcomes);
    }
}

pub struct Publisher {
    pub producer: MemoryProducer,
    sink: Arc<Sink>,
    pub bell: Arc<Bell>,
    waker: Waker,
    slot: u32,
}

impl Publisher {
    pub async fn open(transport: &MemoryTransport, channel: &Channel) -> Self {
        let sink = Arc::new(Sink::default());
        let how = OpenProducer::new(channel.clone(), 1, Completions::new(sink.clone()));
        let producer = transport.open_producer(how).await.unwrap().producer;
        let bell = Arc::new(Bell::default());
        Publisher { producer, sink, waker: Waker::from(bell.clone()), bell, slot: 0 }
    }

    /// Submits once. Says how many were taken.
    pub fn submit(&mut self, batch: &mut MessageBatch) -> Poll<Result<usize>> {
        let before = batch.len();
        let mut cx = Context::from_waker(&self.waker);
        self.producer.poll_submit(&mut cx, &mut Batch::new(batch)).map_ok(|()| before - batch.len())
    }

    pub fn batch(&mut self, messages: impl IntoIterator<Item = Message>) -> MessageBatch {
        let mut batch = MessageBatch::new();
        for message in messages {
            self.slot += 1;
            batch.push(Ticket { slot: self.slot, generation: 1 }, message);
        }
        batch
    }

    /// The slot of the next ticket.
    pub fn next_slot(&self) -> u32 {
        self.slot + 1
    }

    pub fn outcomes(&mut self) -> Vec<(Ticket, PublishOutcome)> {
        std::mem::take(&mut *self.sink.0.lock().unwrap())
    }

    /// Publishes one, and gives its outcome.
    pub fn publish(&mut self, message: Message) -> PublishOutcome {
        let mut batch = self.batch([message]);
        assert!(matches!(self.submit(&mut batch), Poll::Ready(Ok(1))), "not taken");
        let mut outcomes = self.outcomes();
        assert_eq!(outcomes.len(), 1);
        outcomes.pop().unwrap().1
    }

    /// Publishes and expects a confirmation.
    pub fn put(&mut self, message: Message) {
        let outcome = self.publish(message);
        assert!(outcome.is_confirmed(), "{outcome:?}");
    }

    pub fn drive(&mut self) -> Poll<Error> {
        self.producer.poll_drive(&mut Context::from_waker(&self.waker))
    }
}

pub struct Consumer {
    pub receiver: MemoryReceiver,
    pub settler: MemorySettler,
    pub inbox: Inbox,
    pub bell: Arc<Bell>,
    waker: Waker,
}

impl Consumer {
    pub async fn open(transport: &MemoryTransport, source: &Source) -> Self {
        Self::with_prefetch(transport, source, 256).await
    }

    pub async fn with_prefetch(transport: &MemoryTransport, source: &Source, prefetch: usize) -> Self {
        let mut how = OpenConsumer::new(source.clone(), 1);
        how.prefetch = prefetch;
        let opened = transport.open_consumer(how).await.unwrap();
        let bell = Arc::new(Bell::default());
        Consumer {
            receiver: opened.receiver,
            settler: opened.settler,
            inbox: Inbox::new(),
            waker: Waker::from(bell.clone()),
            bell,
        }
    }

    pub fn poll(&mut self, max: usize) -> Poll<Result<()>> {
        self.receiver.poll_receive(&mut Context::from_waker(&self.waker), &mut self.inbox, max)
    }

    /// Receives once: messages, and tokens of lost leases.
    pub fn news(&mut self, max: usize) -> (Vec<Incoming>, Vec<Token>) {
        match self.poll(max) {
            Poll::Pending => assert!(self.inbox.is_empty(), "pending after pushing"),
            Poll::Ready(Ok(())) => assert!(!self.inbox.is_empty(), "ready without pushing"),
            Poll::Ready(Err(error)) => panic!("{error}"),
        }
        assert!(self.inbox.messages() <= max);
        let (mut messages, mut lost) = (Vec::new(), Vec::new());
        while let Some(arrival) = self.inbox.pop() {
            match arrival {
                Arrival::Message(incoming) => messages.push(*incoming),
                Arrival::LeaseLost(token) => lost.push(token),
                other => panic!("{other:?}"),
            }
        }
        (messages, lost)
    }

    pub fn take(&mut self, max: usize) -> Vec<Incoming> {
        self.news(max).0
    }

    pub fn one(&mut self) -> Incoming {
        let mut found = self.take(1);
        assert_eq!(found.len(), 1, "nothing to receive");
        found.pop().unwrap()
    }

    pub fn settle(&mut self, token: Token, disposition: Disposition<'_>) -> Settled {
        self.settle_all(&[(token, disposition)])[0]
    }

    pub fn settle_all(&mut self, what: &[(Token, Disposition<'_>)]) -> Vec<Settled> {
        let mut answers = Vec::new();
        self.settler.record(what, &mut answers);
        assert_eq!(answers.len(), what.len(), "one answer each");
        answers
    }

    pub fn ack(&mut self, token: Token) {
        assert_eq!(self.settle(token, Disposition::Ack), Settled::Recorded);
    }

    pub fn flush(&mut self) -> (Poll<Result<()>>, Vec<Late>) {
        let mut late = Vec::new();
        let end = self.settler.poll_flush(&mut Context::from_waker(&self.waker), &mut late);
        (end, late)
    }
}

pub fn body(incoming: &Incoming) -> String {
    String::from_utf8_lossy(&incoming.message.body).into_owned()
}

pub fn bodies(all: &[Incoming]) -> String {
    all.iter().map(body).collect::<Vec<_>>().join(" ")
}

pub fn message(text: &str) -> Message {
    Message::new(text.to_owned())
}

pub fn keyed(key: &str, text: &str) -> Message {
    message(text).with_key(key)
}

pub fn queue(name: &str) -> Channel {
    let mut channel = Channel::queue(name.to_owned()).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

pub fn ordered(name: &str, order: Order) -> Channel {
    let mut channel = queue(name);
    channel.order = order;
    channel
}

pub fn source(channel: &Channel) -> Source {
    Source::new(channel.clone(), None).unwrap()
}

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A server, a connection, a channel, a publisher and a consumer.
pub struct Stage {
    pub server: MemoryServer,
    pub transport: MemoryTransport,
    pub channel: Channel,
    pub publisher: Publisher,
    pub consumer: Consumer,
}

impl Stage {
    pub async fn new(channel: Channel) -> Self {
        Self::with(channel, MemoryConfig::default()).await
    }

    pub async fn with(channel: Channel, config: MemoryConfig) -> Self {
        let server = MemoryServer::new(config);
        let transport = MemoryTransport::new(&server);
        transport.ensure(&Ensure::new(channel.clone())).await.unwrap();
        let publisher = Publisher::open(&transport, &channel).await;
        let consumer = Consumer::open(&transport, &source(&channel)).await;
        Stage { server, transport, channel, publisher, consumer }
    }

    pub async fn another(&self) -> Consumer {
        Consumer::open(&self.transport, &source(&self.channel)).await
    }

    pub fn snapshot(&self) -> QueueSnapshot {
        self.server.queue(self.channel.name.as_str()).unwrap()
    }

    pub fn depth(&self) -> (usize, usize, usize) {
        let snapshot = self.snapshot();
        (snapshot.ready().count(), snapshot.delayed().count(), snapshot.in_flight().count())
    }
}

pub fn config(pairs: &[(&str, &str)]) -> MemoryConfig {
    MemoryConfig::from_pairs(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))).unwrap()
}
