use pontoon::prelude::*;

const FLIGHTS: Topic<Raw> = Topic::new("flights");

async fn on_flight(_flight: Raw) -> Outcome {
    done()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_flight, Retry::never());
}

fn main() {}
