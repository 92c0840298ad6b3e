#![deny(unused_must_use)]
use pontoon::prelude::*;
use pontoon::{Delivery, WorkerReport};

async fn run(worker: Worker, delivery: Delivery<Raw>, report: WorkerReport) {
    delivery.ack();
    done();
    worker.drain_within(std::time::Duration::ZERO);
    std::convert::identity(report);
}

fn main() {}
