//! A stalled handler does not make memory grow.

use std::time::Duration;

use pontoon::prelude::*;
use pontoon::{Bytes, Raw};

const QUEUE: Queue<Raw> = Queue::new("stalled").dead_letter("stalled.dead");

#[test]
fn a_million_messages_behind_a_stalled_handler() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async {
        let broker = pontoon::connect("memory://").await.expect("the memory transport is compiled in");
        let publisher = broker.publisher(QUEUE).await.expect("the queue can be declared");
        let body = Raw(Bytes::from(vec![7; 100]));
        for _ in 0..1_000 {
            publisher.publish_all(std::iter::repeat_n(&body, 1_000)).await.into_result().expect("it is confirmed");
        }
        let stored = pontoon_bench::bytes_in_use();
        let subscription = broker.subscribe(QUEUE).await.expect("the queue can be read");
        let mut stalled = Vec::new();
        // As much as may be out at once, and then as long as leases are extended several times.
        while let Ok(next) = tokio::time::timeout(Duration::from_millis(100), subscription.next()).await {
            stalled.push(next.expect("the subscription is open").expect("it is healthy"));
        }
        assert!(stalled.len() <= 256, "{} deliveries are out, the prefetch is 256", stalled.len());
        assert!(!stalled.is_empty());
        let grown = pontoon_bench::bytes_in_use().saturating_sub(stored);
        println!("stored {} MiB, grown by {} KiB", stored >> 20, grown >> 10);
        assert!(grown < 32 << 20, "grown by {grown} bytes beyond what is stored");
    });
}
