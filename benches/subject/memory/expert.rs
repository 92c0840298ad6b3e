//! The best safe program by hand: batches under one lock, a message stays in the ring until a cumulative
//! acknowledgement passes it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::bodies::Check;
use crate::{Times, Watch};

/// Messages handled under one lock.
const BATCH: usize = 256;

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    ring: VecDeque<Bytes>,
    /// How many at the front are handed out and not acknowledged.
    handed_out: usize,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self, batch: &[Bytes]) {
        let mut state = self.state();
        let was_empty = state.ring.len() == state.handed_out;
        state.ring.extend(batch.iter().cloned());
        drop(state);
        // A reader waits only where there was nothing.
        if was_empty {
            self.arrived.notify_one();
        }
    }

    async fn receive(&self, into: &mut Vec<Bytes>) {
        loop {
            {
                let mut state = self.state();
                let from = state.handed_out;
                into.extend(state.ring.range(from..).take(BATCH).cloned());
                state.handed_out += into.len();
            }
            if !into.is_empty() {
                return;
            }
            self.arrived.notified().await;
        }
    }

    async fn acknowledge(&self, count: usize) {
        let mut state = self.state();
        state.ring.drain(..count);
        state.handed_out -= count;
    }
}

/// Times of publishing and of draining.
pub(crate) async fn run(bodies: &[Bytes], check: &mut Check) -> Times {
    let queue = Queue::default();
    let watch = Watch::start();
    for batch in bodies.chunks(BATCH) {
        queue.publish(batch).await;
    }
    let publish = watch.stop();
    let watch = Watch::start();
    let mut batch = Vec::with_capacity(BATCH);
    let mut left = bodies.len();
    while left > 0 {
        queue.receive(&mut batch).await;
        for body in &batch {
            check.see(body);
        }
        queue.acknowledge(batch.len()).await;
        left -= batch.len();
        batch.clear();
    }
    Times { publish, drain: watch.stop(), ..Times::default() }
}
