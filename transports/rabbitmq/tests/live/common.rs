//! The driver seam without the engine, on both brokers.

use std::future::poll_fn;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pontoon_core::driver::{
    AnyProducer, AnyReceiver, AnySettler, AnyTransport, Arrival, Batch, CompletionSink, Completions, Disposition,
    Ensure, Inbox, Incoming, Late, MessageBatch, OpenConsumer, OpenProducer, Producer, Receiver, Settled, Settler,
    Ticket, Token, Transport,
};
use pontoon_core::{Channel, Error, Message, PublishOutcome, Result, Source, Subscription};
use pontoon_rabbitmq::{RabbitConfig, RabbitTransport};

/// Nothing here takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Both brokers: the beginnings of the names of their variables.
pub const BROKERS: [&str; 2] = ["PONTOON_RABBITMQ", "PONTOON_RABBITMQ_OLD"];

/// What `cargo xtask test` says in a variable.
pub fn told(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"))
}

/// What a Python program prints.
pub fn python(arguments: &[&str]) -> String {
    let output = Command::new(told("PONTOON_PYTHON")).args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.trim().to_owned()
}

/// The URLs of both brokers.
pub fn urls() -> [String; 2] {
    BROKERS.map(|broker| told(&format!("{broker}_URL")))
}

/// A name that no other test and no other run has.
pub fn name(of: &str) -> String {
    format!("{of}.{:x}", pontoon_core::os_seed())
}

/// A channel of this name that drops what cannot be handled.
pub fn queue(of: &str) -> Channel {
    let mut channel = Channel::queue(name(of)).unwrap();
    channel.dead_letter = pontoon_core::DeadLetterPolicy::Discard;
    channel
}

/// A connection to this broker.
pub async fn connect(url: &str) -> AnyTransport {
    AnyTransport::new(RabbitTransport::connect(RabbitConfig::from_url(url).unwrap()).await.unwrap())
}

pub async fn declare(transport: &AnyTransport, channel: &Channel, subscriptions: &[&str]) {
    let mut ensure = Ensure::new(channel.clone());
    for name in subscriptions {
        ensure = ensure.with_subscription(Subscription::new(*name).unwrap());
    }
    transport.ensure(&ensure).await.unwrap();
}

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap().append(outcomes);
    }
}

/// Publishes on a generation of its own; the outcomes, in order.
pub async fn publish(transport: &AnyTransport, channel: &Channel, messages: Vec<Message>) -> Vec<PublishOutcome> {
    let sink = Arc::new(Sink::default());
    let how = OpenProducer::new(channel.clone(), 1, Completions::new(sink.clone()));
    let mut producer: AnyProducer = transport.open_producer(how).await.unwrap().producer;
    let (count, mut batch) = (messages.len(), MessageBatch::new());
    for (slot, message) in messages.into_iter().enumerate() {
        batch.push(Ticket { slot: slot as u32, generation: 1 }, message);
    }
    let all = poll_fn(|cx| {
        while !pontoon_core::driver::BatchSource::is_empty(&batch)
            && producer.poll_submit(cx, &mut Batch::new(&mut batch)).is_ready()
        {}
        assert!(producer.poll_drive(cx).is_pending(), "the generation lives");
        if sink.0.lock().unwrap().len() == count { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    });
    tokio::time::timeout(PATIENCE, all).await.expect("outcomes in time");
    let mut outcomes = std::mem::take(&mut *sink.0.lock().unwrap());
    outcomes.sort_by_key(|(ticket, _)| ticket.slot);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Publishes one message that ends the generation: why.
pub async fn end_of_publishing(transport: &AnyTransport, channel: &Channel) -> Error {
    let how = OpenProducer::new(channel.clone(), 1, Completions::new(Arc::new(Sink::default())));
    let mut producer: AnyProducer = transport.open_producer(how).await.unwrap().producer;
    let mut batch = MessageBatch::new();
    batch.push(Ticket { slot: 0, generation: 1 }, messages(["a".to_owned()]).remove(0));
    assert!(poll_fn(|cx| producer.poll_submit(cx, &mut Batch::new(&mut batch))).await.is_ok());
    poll_fn(|cx| producer.poll_drive(cx)).await
}

/// Messages with these bodies, each with an id of its own.
pub fn messages(bodies: impl IntoIterator<Item = String>) -> Vec<Message> {
    let of = |body: String| Message::new(body).with_id(format!("{:x}", pontoon_core::os_seed()));
    bodies.into_iter().map(of).collect()
}

/// One generation of a consumer, driven by hand: it does nothing that it is not told to.
pub struct Consumer {
    receiver: AnyReceiver,
    settler: AnySettler,
    inbox: Inbox,
}

impl Consumer {
    pub async fn open(transport: &AnyTransport, source: Source) -> Self {
        let opened = transport.open_consumer(OpenConsumer::new(source, 1)).await.unwrap();
        Consumer { receiver: opened.receiver, settler: opened.settler, inbox: Inbox::new() }
    }

    pub async fn of(transport: &AnyTransport, channel: &Channel) -> Self {
        Self::open(transport, Source::new(channel.clone(), None).unwrap()).await
    }

    /// So many messages; fewer when nothing comes for so long.
    pub async fn take(&mut self, count: usize, within: Duration) -> Result<Vec<Incoming>> {
        let mut all = Vec::new();
        while all.len() < count {
            match self.inbox.pop() {
                Some(Arrival::Message(incoming)) => all.push(*incoming),
                Some(_) => {}
                None => {
                    let room = count - all.len();
                    let more = poll_fn(|cx| self.receiver.poll_receive(cx, &mut self.inbox, room));
                    match tokio::time::timeout(within, more).await {
                        Ok(received) => received?,
                        Err(_) => break,
                    }
                }
            }
        }
        Ok(all)
    }

    pub fn settle(&mut self, token: Token, how: Disposition<'_>) -> Settled {
        let mut answers = Vec::new();
        self.settler.record(&[(token, how)], &mut answers);
        answers[0]
    }

    pub async fn flush(&mut self) -> Vec<Late> {
        let mut late = Vec::new();
        let flushed = poll_fn(|cx| self.settler.poll_flush(cx, &mut late));
        tokio::time::timeout(PATIENCE, flushed).await.expect("a flush in time").unwrap();
        late
    }

    pub async fn close(mut self) {
        let stop = poll_fn(|cx| self.receiver.poll_stop(cx, &mut self.inbox));
        tokio::time::timeout(PATIENCE, stop).await.expect("it stops").unwrap();
        let mut late = Vec::new();
        let close = poll_fn(|cx| self.settler.poll_close(cx, &mut late));
        tokio::time::timeout(PATIENCE, close).await.expect("it closes").unwrap();
    }
}
