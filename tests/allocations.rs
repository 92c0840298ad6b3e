//! What the facade costs beyond the engine: counted, not timed. One test, since the counter is the process's.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::alloc::System;

use pontoon::driver::AnyTransport;
use pontoon::engine::{Consumer, ConsumerOptions, Environment, Publisher, PublisherOptions};
use pontoon::prelude::*;
use pontoon::{Bytes, Carries, Message, Source};
use pontoon_memory::{MemoryServer, MemoryTransport};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const JOBS: Queue<Raw> = Queue::new("jobs").discard_failed();
const TEXTS: Queue<String> = Queue::new("texts").discard_failed();
const MESSAGES: u64 = 20_000;

/// Allocations per message of the second half: the first warms up what is kept for reuse.
async fn per_message(mut one: impl AsyncFnMut()) -> f64 {
    for _ in 0..MESSAGES / 2 {
        one().await;
    }
    let region = Region::new(COUNTED);
    for _ in 0..MESSAGES / 2 {
        one().await;
    }
    let allocations = region.change().allocations as f64;
    allocations / (MESSAGES / 2) as f64
}

#[tokio::test]
async fn the_facade_adds_no_allocation_for_a_message() {
    let transport = || AnyTransport::new(MemoryTransport::new(&MemoryServer::default()));
    let body = Bytes::from(vec![7; 100]);

    let engine = {
        let (transport, env) = (transport(), Environment::new());
        let channel = JOBS.channel().unwrap();
        let publisher = Publisher::open(&transport, channel.clone(), PublisherOptions::default(), &env).await.unwrap();
        let source = Source::new(channel, None).unwrap();
        let consumer = Consumer::open(&transport, source, ConsumerOptions::default(), &env).await.unwrap();
        per_message(async || {
            publisher.publish(Message::new(body.clone())).await.unwrap();
            let _ = consumer.next().await.unwrap().unwrap().ack();
        })
        .await
    };

    let broker = Broker::with_transport(transport());
    let publisher = broker.publisher(JOBS).await.unwrap();
    let pulled = {
        let subscription = broker.subscribe(JOBS).await.unwrap();
        let raw = Raw(body.clone());
        per_message(async || {
            publisher.publish(&raw).await.unwrap();
            let _ = subscription.next().await.unwrap().unwrap().ack();
        })
        .await
    };

    // A worker, with one message on its way at a time.
    let (done_with, mut handled) = tokio::sync::mpsc::channel::<()>(1);
    let handler = |_job: Raw, attempt: Attempt, State(done_with): State<tokio::sync::mpsc::Sender<()>>| async move {
        assert_eq!(attempt.at_least, 1);
        done_with.send(()).await.unwrap();
    };
    let worker = Worker::new(broker.clone()).state(done_with).handle(JOBS, handler, Retry::never()).concurrency(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(worker.run_until(async { drop(stopped.await) }));
    let raw = Raw(body.clone());
    let worked = per_message(async || {
        publisher.publish(&raw).await.unwrap();
        handled.recv().await.unwrap();
    })
    .await;
    stop.send(()).unwrap();
    assert_eq!(running.await.unwrap().unwrap().handled, MESSAGES);

    let texts = broker.publisher(TEXTS).await.unwrap();
    let subscription = broker.subscribe(TEXTS).await.unwrap();
    let text = "x".repeat(100);
    let json = per_message(async || {
        texts.publish(&text).await.unwrap();
        let _ = subscription.next().await.unwrap().unwrap().ack();
    })
    .await;

    println!("allocations per message: engine {engine:.3} pulled {pulled:.3} worked {worked:.3} json {json:.3}");
    assert!(pulled <= engine + 0.05, "pulling raw bodies: {pulled} against {engine}");
    assert!(worked <= engine + 0.1, "a handler: {worked} against {engine}");
    // The String itself, and a share of the block that bodies are written into.
    assert!(json <= engine + 1.2, "JSON text: {json} against {engine}");
}
