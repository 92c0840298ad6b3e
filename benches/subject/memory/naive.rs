//! The loop of an example: one message at a time, one lock for each step.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::bodies::Check;
use crate::{Times, Watch};

/// A queue that keeps a message until it is acknowledged.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    ready: VecDeque<(u64, Bytes)>,
    in_flight: HashMap<u64, Bytes>,
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn publish(&self, body: Bytes) {
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.ready.push_back((number, body));
        drop(state);
        self.arrived.notify_one();
    }

    async fn receive(&self) -> (u64, Bytes) {
        loop {
            {
                let mut state = self.state();
                if let Some((number, body)) = state.ready.pop_front() {
                    state.in_flight.insert(number, body.clone());
                    return (number, body);
                }
            }
            self.arrived.notified().await;
        }
    }

    async fn acknowledge(&self, number: u64) {
        self.state().in_flight.remove(&number);
    }
}

/// Times of publishing and of draining.
pub(crate) async fn run(bodies: &[Bytes], check: &mut Check) -> Times {
    let queue = Queue::default();
    let watch = Watch::start();
    for body in bodies {
        queue.publish(body.clone()).await;
    }
    let publish = watch.stop();
    let watch = Watch::start();
    for _ in bodies {
        let (number, body) = queue.receive().await;
        check.see(&body);
        queue.acknowledge(number).await;
    }
    Times { publish, drain: watch.stop(), ..Times::default() }
}
