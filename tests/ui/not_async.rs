use pontoon::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
}

const FLIGHTS: Queue<Flight> = Queue::new("flights");

fn on_flight(flight: Flight) -> Outcome {
    println!("{}", flight.origin);
    done()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_flight, Retry::never());
}

fn main() {}
