use pontoon::prelude::*;

struct Flight;

const FLIGHTS: Queue<Flight> = Queue::new("flights");

async fn on_flight(_flight: Flight) -> Outcome {
    done()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_flight, Retry::never());
}

fn main() {}
