use pontoon::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
}

const FLIGHTS: Queue<Flight> = Queue::new("flights");

async fn on_flight(flight: Flight) -> Outcome {
    let not_send = std::rc::Rc::new(flight.origin);
    std::future::ready(()).await;
    println!("{not_send}");
    done()
}

fn run(broker: Broker) {
    let _ = Worker::new(broker).handle(FLIGHTS, on_flight, Retry::never());
}

fn main() {}
