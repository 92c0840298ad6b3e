//! One cell of `cargo xtask instructions`: publish, receive and acknowledge over the memory transport, through the
//! facade, with default settings, at 100 bytes, in one task of one thread. Run under valgrind, which counts.

use clap::Parser;
use pontoon::prelude::*;
use pontoon::{Bytes, Raw};

const PLAIN: Queue<Raw> = Queue::new("plain").dead_letter("plain.dead");
const KEYED: Queue<Raw> = Queue::new("keyed").ordered_by_key(key).dead_letter("keyed.dead");
const SIZE: usize = 100;
/// Distinct keys, in the first two bytes of the body.
const KEYS: usize = 1024;

fn key(raw: &Raw) -> pontoon::Key {
    pontoon::Key::new(&raw.0[..2])
}

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// Messages have keys, and the queue keeps their order.
    #[arg(long)]
    keyed: bool,
    /// Messages published, received and acknowledged at once; one uses the calls for single messages.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// How many messages in all, a multiple of the batch.
    #[arg(long)]
    count: usize,
}

fn main() {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    // The body of `block_on` costs a hop that a spawned task does not.
    runtime.block_on(async { tokio::spawn(run(arguments)).await.expect("the cell does not panic") });
}

async fn run(Arguments { keyed, batch, count }: Arguments) {
    assert!(batch > 0 && count.is_multiple_of(batch), "the count is a multiple of the batch");
    let queue = if keyed { KEYED } else { PLAIN };
    let broker = pontoon::connect("memory://").await.expect("the memory transport is compiled in");
    let publisher = broker.publisher(queue).await.expect("the queue can be declared");
    let subscription = broker.subscribe(queue).await.expect("the queue can be read");
    let bodies: Vec<Raw> = (0..KEYS)
        .map(|n| {
            let mut body = vec![0x5a; SIZE];
            body[..2].copy_from_slice(&(n as u16).to_le_bytes());
            Raw(Bytes::from(body))
        })
        .collect();
    let mut received = Vec::with_capacity(batch);
    for at in (0..count).step_by(batch) {
        if batch == 1 {
            publisher.publish(&bodies[at % KEYS]).await.expect("the memory transport confirms");
            let delivery = subscription.next().await.expect("the subscription is open").expect("it is healthy");
            assert_eq!(delivery.payload().0, bodies[at % KEYS].0);
            let _ = delivery.ack();
            continue;
        }
        let messages = (at..at + batch).map(|n| &bodies[n % KEYS]);
        let stored = publisher.publish_all(messages).await.into_result().expect("the memory transport confirms");
        assert_eq!(stored, batch);
        let mut left = batch;
        while left > 0 {
            left -= subscription.next_batch(left, &mut received).await.expect("the subscription is open");
            assert_eq!(pontoon::Delivery::ack_all(&mut received), 0);
        }
    }
    broker.close().await.expect("closing works");
}
