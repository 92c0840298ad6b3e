//! The first program: publish, handle, stop. `cargo run --example quickstart`
//!
//! It runs until Ctrl-C, or until nothing more is to be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use pontoon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Flight {
    origin: String,
    delay: i64,
}

/// What carries flights: publisher and worker both use this constant, so they cannot disagree.
const FLIGHTS: Queue<Flight> =
    Queue::new("flights").ordered_by(|f: &Flight| f.origin.as_str()).dead_letter("flights.dead");

/// What the handlers share.
#[derive(Clone, Default)]
struct Board {
    minutes: Arc<AtomicI64>,
}

impl Board {
    async fn record(&self, flight: &Flight, attempt: Attempt) -> std::io::Result<()> {
        if flight.origin == "SFO" && attempt.is_first() {
            return Err(std::io::Error::other("the board does not answer"));
        }
        println!("{} left {} minutes late (attempt {attempt})", flight.origin, flight.delay);
        self.minutes.fetch_add(flight.delay, Ordering::Relaxed);
        Ok(())
    }
}

async fn on_flight(flight: Flight, attempt: Attempt, State(board): State<Board>) -> Outcome {
    if flight.delay > 120 {
        return reject("more than two hours late");
    }
    board.record(&flight, attempt).await?; // an error means: retry later
    done()
}

#[tokio::main]
async fn main() -> pontoon::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let broker = pontoon::connect("memory://").await?;

    let flight = |origin: &str, delay| Flight { origin: origin.into(), delay };
    let flights = broker.publisher(FLIGHTS).await?;
    flights.publish(&flight("LAX", 12)).await?; // confirmed, or an error that says what is known
    let rest = [flight("SFO", 25), flight("JFK", 154), flight("LAX", 3)];
    flights.publish_all(&rest).await.into_result()?; // pipelined; one outcome per message

    let retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(5);
    let board = Board::default();
    let idle = async {
        while broker
            .depth(&FLIGHTS)
            .await
            .is_ok_and(|d| d.ready + d.in_flight.unwrap_or(0) + d.delayed.unwrap_or(0) > 0)
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let stop = async {
        tokio::select! {
            () = shutdown_signal() => {}
            () = idle => {}
        }
    };
    let report =
        Worker::new(broker.clone()).state(board.clone()).handle(FLIGHTS, on_flight, retry).run_until(stop).await?;
    println!("{report}");
    println!("{} minutes in all", board.minutes.load(Ordering::Relaxed));
    broker.close().await
}
