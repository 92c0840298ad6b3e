use pontoon::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
}

const FLIGHTS: Queue<Flight> = Queue::new("flights");

#[derive(serde::Serialize, serde::Deserialize)]
struct Order {
    number: u64,
}

async fn on_order(order: Order) -> Outcome {
    println!("{}", order.number);
    done()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_order, Retry::never());
}

fn main() {}
