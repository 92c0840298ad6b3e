//! A publisher and a consumer at the driver seam, over the socket.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use pontoon_core::driver::*;
use pontoon_core::*;
use pontoon_memory_server::*;
use tokio::time::timeout;

/// How long anything may take that is to happen.
pub const BOUND: Duration = Duration::from_secs(20);

/// How long is looked for what must not happen.
pub const QUIET: Duration = Duration::from_millis(100);

pub fn options() -> ServerOptions {
    ServerOptions::default().with_program(env!("CARGO_BIN_EXE_pontoon-memory-server"))
}

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap().append(outcomes);
    }
}

pub struct Publisher {
    pub producer: ServerProducer,
    sink: Arc<Sink>,
}

impl Publisher {
    pub async fn open(transport: &ServerTransport, channel: &Channel) -> Self {
        let sink = Arc::new(Sink::default());
        let how = OpenProducer::new(channel.clone(), 1, Completions::new(sink.clone()));
        Publisher { producer: transport.open_producer(how).await.unwrap().producer, sink }
    }

    /// Publishes all, and gives their outcomes in order, or the error that ended the generation.
    pub async fn publish_all(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<Vec<PublishOutcome>> {
        let mut batch = MessageBatch::new();
        for (slot, message) in messages.into_iter().enumerate() {
            batch.push(Ticket { slot: slot as u32, generation: 1 }, message);
        }
        let wanted = batch.len();
        let mut outcomes = Vec::new();
        let all = poll_fn(|cx| {
            while !batch.is_empty() {
                match self.producer.poll_submit(cx, &mut Batch::new(&mut batch)) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(error) = self.producer.poll_drive(cx) {
                return Poll::Ready(Err(error));
            }
            outcomes.append(&mut self.sink.0.lock().unwrap());
            if outcomes.len() == wanted { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        timeout(BOUND, all).await.expect("outcomes within the bound")?;
        let slots: Vec<u32> = outcomes.iter().map(|(ticket, _)| ticket.slot).collect();
        assert!(slots.is_sorted(), "outcomes in order");
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    pub async fn publish(&mut self, message: Message) -> PublishOutcome {
        self.publish_all([message]).await.unwrap().pop().unwrap()
    }

    /// Publishes and expects a confirmation.
    pub async fn put(&mut self, message: Message) -> BrokerId {
        match self.publish(message).await {
            PublishOutcome::Confirmed(receipt) => receipt.broker_id,
            other => panic!("{other:?}"),
        }
    }
}

pub struct Consumer {
    pub receiver: ServerReceiver,
    pub settler: ServerSettler,
    pub lease: Option<Duration>,
    inbox: Inbox,
}

impl Consumer {
    pub async fn open(transport: &ServerTransport, source: &Source) -> Self {
        let opened = transport.open_consumer(OpenConsumer::new(source.clone(), 1)).await.unwrap();
        Consumer { receiver: opened.receiver, settler: opened.settler, lease: opened.lease, inbox: Inbox::new() }
    }

    /// The next news: messages, and tokens of lost leases.
    pub async fn news(&mut self, max: usize) -> Result<(Vec<Incoming>, Vec<Token>)> {
        let received = poll_fn(|cx| self.receiver.poll_receive(cx, &mut self.inbox, max));
        timeout(BOUND, received).await.expect("news within the bound")?;
        assert!(self.inbox.messages() <= max);
        let (mut messages, mut lost) = (Vec::new(), Vec::new());
        while let Some(arrival) = self.inbox.pop() {
            match arrival {
                Arrival::Message(incoming) => messages.push(*incoming),
                Arrival::LeaseLost(token) => lost.push(token),
                other => panic!("{other:?}"),
            }
        }
        Ok((messages, lost))
    }

    /// As many messages as that.
    pub async fn take(&mut self, count: usize) -> Vec<Incoming> {
        let mut found = Vec::new();
        let all = async {
            while found.len() < count {
                found.append(&mut self.news(count - found.len()).await.unwrap().0);
            }
        };
        timeout(BOUND, all).await.expect("so many within the bound");
        found
    }

    pub async fn one(&mut self) -> Incoming {
        self.take(1).await.pop().unwrap()
    }

    /// Nothing comes for a while.
    pub async fn nothing(&mut self) {
        let received = poll_fn(|cx| self.receiver.poll_receive(cx, &mut self.inbox, 1));
        assert!(timeout(QUIET, received).await.is_err(), "something came: {:?}", self.inbox.pop());
    }

    pub fn settle(&mut self, token: Token, disposition: Disposition<'_>) -> Settled {
        let mut answers = Vec::new();
        self.settler.record(&[(token, disposition)], &mut answers);
        assert_eq!(answers.len(), 1, "one answer each");
        answers[0]
    }

    pub async fn flush(&mut self) -> Result<Vec<Late>> {
        let mut late = Vec::new();
        let flushed = poll_fn(|cx| self.settler.poll_flush(cx, &mut late));
        timeout(BOUND, flushed).await.expect("flushed within the bound")?;
        Ok(late)
    }

    /// Settles, and waits until that is final.
    pub async fn end(&mut self, token: Token, disposition: Disposition<'_>) {
        assert_eq!(self.settle(token, disposition), Settled::Recorded);
        assert!(self.flush().await.unwrap().is_empty());
    }
}

pub fn bodies(all: &[Incoming]) -> String {
    all.iter().map(|i| String::from_utf8_lossy(&i.message.body).into_owned()).collect::<Vec<_>>().join(" ")
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

/// A server, a connection, a channel, a publisher and a consumer.
pub struct Stage {
    pub server: MemoryServer,
    pub transport: ServerTransport,
    pub channel: Channel,
    pub publisher: Publisher,
    pub consumer: Consumer,
}

impl Stage {
    pub async fn new(channel: Channel) -> Self {
        Self::with(channel, options()).await
    }

    pub async fn with(channel: Channel, options: ServerOptions) -> Self {
        let server = MemoryServer::start(options).unwrap();
        let transport = ServerTransport::connect(&server.url()).await.unwrap();
        transport.ensure(&Ensure::new(channel.clone())).await.unwrap();
        let publisher = Publisher::open(&transport, &channel).await;
        let consumer = Consumer::open(&transport, &source(&channel)).await;
        Stage { server, transport, channel, publisher, consumer }
    }

    pub async fn another(&self) -> Consumer {
        Consumer::open(&self.transport, &source(&self.channel)).await
    }

    /// The same after the process was killed and started again.
    pub async fn restarted(self) -> Self {
        let Stage { mut server, transport, channel, .. } = self;
        server.restart().unwrap();
        let publisher = Publisher::open(&transport, &channel).await;
        let consumer = Consumer::open(&transport, &source(&channel)).await;
        Stage { server, transport, channel, publisher, consumer }
    }

    pub async fn depth(&self) -> (u64, u64, u64) {
        let depth = self.transport.extensions().depth.unwrap();
        let report = depth.depth(&source(&self.channel)).await.unwrap();
        (report.ready, report.delayed.unwrap(), report.in_flight.unwrap())
    }
}
