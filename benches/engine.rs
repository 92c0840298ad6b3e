//! What the engine costs: publish, receive and acknowledge over the memory transport, through the facade, with default
//! settings.
//!
//! Four cells (keyed or not; publisher and consumer on one thread, or on two without lock-step between them), each with
//! single messages and with batches of 64, at 100 bytes. Rates are medians over interleaved rounds with their spread;
//! the last line prints the worst cell. Allocations are the slope between a run and one twice as long, so that what is
//! allocated once does not count.
//!
//! `cargo bench -p pontoon-bench --bench engine [-- --quick]`

use std::time::{Duration, Instant};

use pontoon::prelude::*;
use pontoon::{Bytes, Raw, Retry};
use pontoon_bench::{allocations, median};
use tokio::runtime::Runtime;

const PLAIN: Queue<Raw> = Queue::new("plain").dead_letter("plain.dead");
const KEYED: Queue<Raw> = Queue::new("keyed").ordered_by_key(key).dead_letter("keyed.dead");
const BATCH: usize = 64;
const SIZE: usize = 100;
/// Distinct keys, in the first two bytes of the body.
const KEYS: usize = 1024;

fn key(raw: &Raw) -> pontoon::Key {
    pontoon::Key::new(&raw.0[..2])
}

#[derive(Clone, Copy)]
struct Cell {
    keyed: bool,
    threads: usize,
    batch: bool,
}

impl Cell {
    fn name(self) -> String {
        let key = if self.keyed { "keyed" } else { "unkeyed" };
        let batch = if self.batch { "batch64" } else { "single" };
        format!("{batch:8} {key:8} {} thread{}", self.threads, if self.threads == 1 { " " } else { "s" })
    }
}

fn bodies() -> Vec<Raw> {
    let body = |n: usize| {
        let mut body = vec![0x5a; SIZE];
        body[..2].copy_from_slice(&(n as u16).to_le_bytes());
        Raw(Bytes::from(body))
    };
    (0..KEYS).map(body).collect()
}

async fn publish(cell: Cell, publisher: pontoon::Publisher<Raw>, bodies: Vec<Raw>, total: usize) {
    if cell.batch {
        for start in (0..total).step_by(BATCH) {
            let batch = (start..start + BATCH).map(|n| &bodies[n % KEYS]);
            let stored = publisher.publish_all(batch).await.into_result().expect("the memory transport confirms");
            assert_eq!(stored, BATCH);
        }
    } else {
        for n in 0..total {
            publisher.publish(&bodies[n % KEYS]).await.expect("the memory transport confirms");
        }
    }
}

async fn consume(cell: Cell, subscription: pontoon::Subscription<Raw>, total: usize) {
    let mut left = total;
    let mut batch = Vec::with_capacity(BATCH);
    while left > 0 {
        if cell.batch {
            left -= subscription.next_batch(BATCH.min(left), &mut batch).await.expect("the subscription is open");
            assert_eq!(pontoon::Delivery::ack_all(&mut batch), 0);
        } else {
            let delivery = subscription.next().await.expect("the subscription is open").expect("it is healthy");
            assert_eq!(delivery.payload().0.len(), SIZE);
            let _ = delivery.ack();
            left -= 1;
        }
    }
}

/// Messages per second of one cell.
async fn run(cell: Cell, total: usize) -> f64 {
    let broker = pontoon::connect("memory://").await.expect("the memory transport is compiled in");
    let queue = if cell.keyed { KEYED } else { PLAIN };
    let publisher = broker.publisher(queue).await.expect("the queue can be declared");
    let subscription = broker.subscribe(queue).await.expect("the queue can be read");
    let bodies = bodies();
    let start = Instant::now();
    if cell.threads == 1 {
        // One task: publish, receive, acknowledge, again.
        let step = if cell.batch { BATCH } else { 1 };
        let mut batch = Vec::with_capacity(BATCH);
        for at in (0..total).step_by(step) {
            if cell.batch {
                let messages = (at..at + step).map(|n| &bodies[n % KEYS]);
                publisher.publish_all(messages).await.into_result().expect("the memory transport confirms");
                let mut left = step;
                while left > 0 {
                    left -= subscription.next_batch(left, &mut batch).await.expect("the subscription is open");
                    assert_eq!(pontoon::Delivery::ack_all(&mut batch), 0);
                }
            } else {
                publisher.publish(&bodies[at % KEYS]).await.expect("the memory transport confirms");
                let delivery = subscription.next().await.expect("the subscription is open").expect("it is healthy");
                let _ = delivery.ack();
            }
        }
    } else {
        let publishing = tokio::spawn(publish(cell, publisher, bodies, total));
        let consuming = tokio::spawn(consume(cell, subscription, total));
        publishing.await.expect("publishing does not panic");
        consuming.await.expect("consuming does not panic");
    }
    let rate = total as f64 / start.elapsed().as_secs_f64();
    broker.close().await.expect("closing works");
    rate
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_all().build().expect("a runtime can be built")
}

/// The body of `block_on` costs a hop that a spawned task does not.
fn spawned(runtime: &Runtime, cell: Cell, total: usize) -> f64 {
    runtime.block_on(async { tokio::spawn(run(cell, total)).await.expect("the cell does not panic") })
}

fn allocations_per_message(runtime: &Runtime, cell: Cell, total: usize) -> f64 {
    // Once to warm up what the process allocates but once.
    spawned(runtime, cell, total / 4);
    let short = allocations(|| {
        spawned(runtime, cell, total);
    });
    let long = allocations(|| {
        spawned(runtime, cell, 2 * total);
    });
    (long as f64 - short as f64).max(0.0) / total as f64
}

/// How much faster eight workers with 1 ms handlers are than one.
async fn workers() -> f64 {
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let mut times = Vec::new();
    for workers in [1, 8] {
        let broker = pontoon::connect("memory://").await.expect("the memory transport is compiled in");
        let publisher = broker.publisher(JOBS).await.expect("the queue can be declared");
        let total = 400;
        let bodies = bodies();
        publisher.publish_all(&bodies[..total]).await.into_result().expect("the memory transport confirms");
        let (done, mut all_done) = tokio::sync::mpsc::channel(total);
        let handler = move |_: Raw| {
            let done = done.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                done.send(()).await?;
                pontoon::done()
            }
        };
        let start = Instant::now();
        let worker = Worker::new(broker).handle(JOBS, handler, Retry::never()).concurrency(workers);
        let finished = async move {
            for _ in 0..total {
                all_done.recv().await;
            }
        };
        let _report = worker.run_until(finished).await.expect("the worker runs");
        times.push(start.elapsed().as_secs_f64());
    }
    times[0] / times[1]
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, total) = if quick { (3, 200_000) } else { (9, 1_000_000) };
    let total = total / BATCH * BATCH;
    let runtimes = [runtime(1), runtime(2)];
    let mut cells = Vec::new();
    for batch in [false, true] {
        for keyed in [false, true] {
            for threads in [1, 2] {
                cells.push((Cell { keyed, threads, batch }, Vec::new()));
            }
        }
    }
    eprintln!("{rounds} rounds of {total} messages of {SIZE} B in each of {} cells", cells.len());
    for (cell, _) in &cells {
        spawned(&runtimes[cell.threads - 1], *cell, total / 10);
    }
    for round in 0..rounds {
        eprint!("\rround {} of {rounds}", round + 1);
        for (cell, rates) in &mut cells {
            rates.push(spawned(&runtimes[cell.threads - 1], *cell, total));
        }
    }
    eprintln!();
    println!("{:<28} {:>10} {:>10} {:>10}  allocations", "publish, receive, ack", "median/s", "least/s", "most/s");
    let (mut worst, mut allocs) = ([f64::INFINITY; 2], [0f64; 2]);
    for (cell, rates) in &cells {
        let (middle, least, most) = median(rates);
        let per_message = allocations_per_message(&runtimes[cell.threads - 1], *cell, total / 10 / BATCH * BATCH);
        println!("{:<28} {middle:>10.0} {least:>10.0} {most:>10.0}  {per_message:.4}", cell.name());
        let kind = usize::from(cell.batch);
        worst[kind] = worst[kind].min(middle);
        allocs[kind] = allocs[kind].max(per_message);
    }
    let speedup = runtimes[1].block_on(async { tokio::spawn(workers()).await.expect("the workers do not panic") });
    println!("workers with 1 ms handlers: 8 are {speedup:.1} times as fast as 1");
    println!(
        "engine single={:.0} batch64={:.0} allocs_single={:.4} allocs_batch64={:.4}",
        worst[0], worst[1], allocs[0], allocs[1]
    );
}
