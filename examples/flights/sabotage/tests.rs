//! What reaches the broker, and what comes back from it, at the driver seam over the memory transport.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pontoon_core::driver::{
    AnyReceiver, AnyTransport, Arrival, Batch, BatchSource, CompletionSink, Completions, Disposition, Ensure, Inbox,
    MessageBatch, OpenConsumer, OpenProducer, Producer, Receiver, Settler, Ticket, Token, Transport,
};
use pontoon_core::{Channel, DeadLetterPolicy, Message, Order, PublishOutcome, Source};
use pontoon_memory::{MemoryConfig, MemoryServer, MemoryTransport};

use super::{ONE_IN, Sabotage, wrap};

const MESSAGES: u32 = 200;
const KEYS: u32 = 4;

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap().append(outcomes);
    }
}

fn channel(name: &str) -> Channel {
    let mut channel = Channel::queue(name).unwrap();
    channel.order = Order::BLOCK;
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

struct Rig {
    inner: AnyTransport,
    wrapped: AnyTransport,
    channel: Channel,
    sink: Arc<Sink>,
}

impl Rig {
    /// A transport sabotaged on `flights`, with a channel of this name.
    async fn new(how: Sabotage, name: &str) -> Self {
        let server = MemoryServer::new(MemoryConfig::default());
        let inner = AnyTransport::new(MemoryTransport::new(&server));
        let wrapped = wrap(inner.clone(), how, "flights", 7);
        let channel = channel(name);
        wrapped.ensure(&Ensure::new(channel.clone())).await.unwrap();
        Rig { inner, wrapped, channel, sink: Arc::default() }
    }

    fn open_producer(&self) -> OpenProducer {
        OpenProducer::new(self.channel.clone(), 1, Completions::new(self.sink.clone()))
    }

    /// Publishes numbers as bodies, over some keys in turn.
    fn publish(&self, producer: &mut impl Producer) {
        self.publish_some(producer, MESSAGES);
    }

    fn publish_some(&self, producer: &mut impl Producer, count: u32) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut batch = MessageBatch::new();
        for number in 0..count {
            let message = Message::new(number.to_string()).with_key((number % KEYS).to_string());
            batch.push(Ticket { slot: number, generation: 1 }, message);
        }
        while !batch.is_empty() {
            assert!(matches!(producer.poll_submit(&mut cx, &mut Batch::new(&mut batch)), Poll::Ready(Ok(()))));
        }
    }

    /// Each ticket has been confirmed exactly once.
    fn all_confirmed_once(&self) {
        let mut tickets: Vec<u32> = self.sink.0.lock().unwrap().iter().map(|(ticket, _)| ticket.slot).collect();
        tickets.sort_unstable();
        assert_eq!(tickets, (0..MESSAGES).collect::<Vec<_>>());
        assert!(self.sink.0.lock().unwrap().iter().all(|(_, outcome)| outcome.is_confirmed()));
    }

    /// Reads through this transport and acknowledges, until nothing comes: the numbers in the order of delivery.
    async fn drain(&self, transport: &AnyTransport) -> Vec<u32> {
        let source = Source::new(self.channel.clone(), None).unwrap();
        let opened = transport.open_consumer(OpenConsumer::new(source, 1)).await.unwrap();
        let (mut receiver, mut settler) = (opened.receiver, opened.settler);
        let mut numbers = Vec::new();
        while let Some(batch) = receive(&mut receiver) {
            let acks: Vec<(Token, Disposition<'_>)> =
                batch.iter().map(|(token, _)| (*token, Disposition::Ack)).collect();
            let mut answers = Vec::new();
            settler.record(&acks, &mut answers);
            assert_eq!(answers.len(), acks.len());
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(settler.poll_flush(&mut cx, &mut Vec::new()), Poll::Ready(Ok(()))));
            numbers.extend(batch.into_iter().map(|(_, number)| number));
        }
        numbers
    }
}

fn receive(receiver: &mut AnyReceiver) -> Option<Vec<(Token, u32)>> {
    let mut inbox = Inbox::new();
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(received) = receiver.poll_receive(&mut cx, &mut inbox, 16) else { return None };
    received.unwrap();
    let mut batch = Vec::new();
    while let Some(Arrival::Message(incoming)) = inbox.pop() {
        let number = std::str::from_utf8(&incoming.message.body).unwrap().parse().unwrap();
        batch.push((incoming.token, number));
    }
    Some(batch)
}

/// How many were delivered after a larger number of their key.
fn inversions(numbers: &[u32]) -> usize {
    let mut largest = BTreeMap::new();
    let mut late = 0;
    for number in numbers {
        let largest = largest.entry(number % KEYS).or_insert(*number);
        late += usize::from(number < largest);
        *largest = *number.max(largest);
    }
    late
}

fn sorted(mut numbers: Vec<u32>) -> Vec<u32> {
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn lost_messages_are_confirmed_and_not_stored() {
    let rig = Rig::new(Sabotage::Lose, "flights").await;
    let mut producer = rig.wrapped.open_producer(rig.open_producer()).await.unwrap().producer;
    rig.publish(&mut producer);
    rig.all_confirmed_once();
    let stored = rig.drain(&rig.inner).await;
    assert_eq!(stored.len(), MESSAGES as usize - MESSAGES as usize / ONE_IN);
    assert_eq!(inversions(&stored), 0);
}

#[tokio::test]
async fn swapped_messages_change_places_within_their_key_and_none_is_lost() {
    let rig = Rig::new(Sabotage::Swap, "flights").await;
    let mut producer = rig.wrapped.open_producer(rig.open_producer()).await.unwrap().producer;
    rig.publish(&mut producer);
    rig.all_confirmed_once();
    let stored = rig.drain(&rig.inner).await;
    assert_eq!(sorted(stored.clone()), (0..MESSAGES).collect::<Vec<_>>());
    assert!(inversions(&stored) >= 5, "{stored:?}");
}

/// With how many messages something waits for the next one of its key at the end, and is let go in this way.
async fn let_go(how: impl AsyncFn(&mut dyn Producer)) -> usize {
    let mut waited = 0;
    for count in 1..60 {
        let rig = Rig::new(Sabotage::Swap, "flights").await;
        let mut producer = rig.wrapped.open_producer(rig.open_producer()).await.unwrap().producer;
        rig.publish_some(&mut producer, count);
        let before = rig.drain(&rig.inner).await;
        how(&mut producer).await;
        let after = rig.drain(&rig.inner).await;
        waited += usize::from(!after.is_empty());
        assert_eq!(sorted([before, after].concat()), (0..count).collect::<Vec<_>>());
    }
    waited
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_another_of_its_key_in_vain_is_let_go_after_a_while() {
    let patience = async |producer: &mut dyn Producer| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(producer.poll_drive(&mut cx).is_pending());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(producer.poll_drive(&mut cx).is_pending());
    };
    assert!(let_go(patience).await >= 2 * KEYS as usize);
}

#[tokio::test]
async fn closing_lets_go_of_what_waits() {
    let closing = async |producer: &mut dyn Producer| {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(producer.poll_close(&mut cx), Poll::Ready(Ok(()))));
    };
    assert!(let_go(closing).await >= 2 * KEYS as usize);
}

#[tokio::test]
async fn some_messages_come_again_after_their_ack() {
    let rig = Rig::new(Sabotage::Dup, "flights").await;
    let mut producer = rig.wrapped.open_producer(rig.open_producer()).await.unwrap().producer;
    rig.publish(&mut producer);
    rig.all_confirmed_once();
    let delivered = sorted(rig.drain(&rig.wrapped).await);
    let mut distinct = delivered.clone();
    distinct.dedup();
    assert_eq!(distinct, (0..MESSAGES).collect::<Vec<_>>());
    assert!(delivered.len() >= distinct.len() + MESSAGES as usize / ONE_IN, "{}", delivered.len());
    assert_eq!(rig.drain(&rig.inner).await, [0; 0], "an ack holds in the end");
}

#[tokio::test]
async fn other_channels_are_left_alone() {
    for how in [Sabotage::Lose, Sabotage::Swap, Sabotage::Dup] {
        let rig = Rig::new(how, "other").await;
        let mut producer = rig.wrapped.open_producer(rig.open_producer()).await.unwrap().producer;
        rig.publish(&mut producer);
        rig.all_confirmed_once();
        let delivered = rig.drain(&rig.wrapped).await;
        assert_eq!((delivered.len(), inversions(&delivered)), (MESSAGES as usize, 0), "{how:?}");
    }
}
