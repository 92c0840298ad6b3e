use pontoon::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
}

const FLIGHTS: Queue<Flight> = Queue::new("flights");

async fn on_flight(flight: Flight) -> usize {
    flight.origin.len()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_flight, Retry::never());
}

fn main() {}
