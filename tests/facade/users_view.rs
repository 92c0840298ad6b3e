//! The program of the README, as it stands there.

use std::time::Duration;

use pontoon::prelude::*;

use crate::support::Seen;

#[derive(serde::Serialize, serde::Deserialize)]
struct Flight {
    origin: String,
    delay: i64,
}

#[derive(Clone, Default)]
struct Board(Seen<String>);

#[derive(Debug)]
struct NoChalk;
impl std::fmt::Display for NoChalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no chalk")
    }
}
impl std::error::Error for NoChalk {}

impl Board {
    async fn record(&self, flight: &Flight, attempt: Attempt) -> Result<(), NoChalk> {
        if flight.delay == 1 && attempt.at_least == 1 {
            return Err(NoChalk);
        }
        self.0.push(flight.origin.clone());
        Ok(())
    }
}

const FLIGHTS: Queue<Flight> =
    Queue::new("flights").ordered_by(|f: &Flight| f.origin.as_str()).dead_letter("flights.dead");

async fn on_flight(flight: Flight, attempt: Attempt, State(board): State<Board>) -> Outcome {
    if flight.delay > 120 {
        return reject("more than two hours late");
    }
    board.record(&flight, attempt).await?;
    done()
}

#[tokio::test(start_paused = true)]
async fn the_twenty_lines_of_the_readme() -> pontoon::Result<()> {
    let flight = |origin: &str, delay| Flight { origin: origin.into(), delay };
    let broker = pontoon::connect("memory://").await?;

    let flights = broker.publisher(FLIGHTS).await?;
    flights.publish(&flight("LAX", 1)).await?;
    let rest = [flight("SFO", 2), flight("JFK", 121), flight("LAX", 3)];
    flights.publish_all(&rest).await.into_result()?;

    let retry = Retry::exponential(Duration::from_millis(200), Duration::from_secs(30)).attempts(5);
    let board = Board::default();
    let enough = tokio::time::sleep(Duration::from_secs(2));
    let report =
        Worker::new(broker.clone()).state(board.clone()).handle(FLIGHTS, on_flight, retry).run_until(enough).await?;

    assert_eq!(report.to_string(), "handled=3 retried=1 dead_lettered=1 released=0 abandoned=0");
    let seen = board.0.all();
    assert_eq!(seen.iter().filter(|origin| *origin == "LAX").count(), 2);
    let dead = broker.dead_letters(FLIGHTS).await?.list(10).await?;
    assert_eq!(dead.len(), 1);
    assert!(dead[0].to_string().ends_with(" rejected: more than two hours late"), "{}", dead[0]);
    Ok(())
}
