//! A server to talk to by hand, and the driver seam without the engine.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses its part

use std::future::poll_fn;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pontoon_core::driver::{
    AnyProducer, AnyReceiver, AnySettler, AnyTransport, Arrival, Batch, CompletionSink, Completions, Disposition,
    Ensure, Inbox, Incoming, Late, MessageBatch, OpenConsumer, OpenProducer, Producer, Receiver, Settled, Settler,
    Ticket, Token, Transport,
};
use pontoon_core::{Channel, Message, PublishOutcome, Result, Source, Subscription};
use pontoon_redis::{RedisConfig, RedisTransport};

/// Nothing here takes longer unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Both servers.
pub fn urls() -> [String; 2] {
    ["PONTOON_REDIS_URL", "PONTOON_REDIS_OLD_URL"]
        .map(|name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `cargo xtask test`")))
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

/// A connection, with settings beside those of the URL.
pub async fn connect(url: &str, settings: &str) -> AnyTransport {
    let config = RedisConfig::from_url(&format!("{url}?{settings}")).unwrap();
    AnyTransport::new(RedisTransport::connect(config).await.unwrap())
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

/// Another program: it sends words and reads the reply as the server spells it, without line ends.
pub struct Other(BufReader<TcpStream>);

impl Other {
    pub fn at(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("redis://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Other(BufReader::new(stream))
    }

    pub fn ask(&mut self, words: &[&str]) -> String {
        let mut command = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| command.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.0.get_mut().write_all(command.as_bytes()).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match (kind, rest.parse::<i64>()) {
            ("$", Ok(len @ 0..)) => {
                let mut bytes = vec![0; len as usize + 2];
                self.0.read_exact(&mut bytes).unwrap();
                String::from_utf8_lossy(&bytes[..len as usize]).into_owned()
            }
            ("*", Ok(count @ 0..)) => format!("[{}]", (0..count).map(|_| self.reply()).collect::<Vec<_>>().join(" ")),
            ("$" | "*", _) => "nil".into(),
            (":" | "+", _) => rest.to_owned(),
            _ => line.trim_end().to_owned(),
        }
    }
}
