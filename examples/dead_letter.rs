//! What cannot be handled is kept, looked at, and put back. `cargo run --example dead_letter`

use std::time::Duration;

use pontoon::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Payment {
    account: String,
    cents: i64,
}

const PAYMENTS: Queue<Payment> = Queue::new("payments").dead_letter("payments.dead");

/// The handler as it was when the accounts still had digits only.
async fn strict(payment: Payment, attempt: Attempt) -> Outcome {
    if payment.cents <= 0 {
        return reject(format!("{} cents", payment.cents));
    }
    let account: u64 = payment.account.parse()?; // fails as often as the policy allows
    println!("paid {} cents to {account} (attempt {attempt})", payment.cents);
    done()
}

/// The handler after the mistake was mended.
async fn mended(payment: Payment, attempt: Attempt) -> Outcome {
    if payment.cents <= 0 {
        return reject(format!("{} cents", payment.cents));
    }
    println!("paid {} cents to {} (attempt {attempt})", payment.cents, payment.account);
    done()
}

#[tokio::main]
async fn main() -> pontoon::Result<()> {
    let broker = pontoon::connect("memory://").await?;
    let payment = |account: &str, cents| Payment { account: account.into(), cents };
    let payments = [payment("17", 250), payment("DE17", 990), payment("18", -5)];
    broker.publisher(PAYMENTS).await?.publish_all(&payments).await.into_result()?;

    let retry = Retry::fixed(Duration::from_millis(50)).attempts(3);
    let report = Worker::new(broker.clone()).handle(PAYMENTS, strict, retry).run_until(idle(&broker)).await?;
    println!("{report}\n");

    let dead = broker.dead_letters(PAYMENTS).await?;
    for letter in dead.list(100).await? {
        let attempts = letter.info().attempts.map_or_else(|| "?".to_owned(), |attempts| attempts.to_string());
        println!("dead after {attempts} attempts: {letter}");
        println!("  {}", String::from_utf8_lossy(&letter.message().body));
    }

    println!("\nputting all back: {}\n", dead.redrive_all().await?);
    let report = Worker::new(broker.clone()).handle(PAYMENTS, mended, retry).run_until(idle(&broker)).await?;
    println!("{report}");
    println!("left dead: {}", dead.list(100).await?.len());
    broker.close().await
}

/// Ends when no payment waits or is being handled.
async fn idle(broker: &Broker) {
    let left = async || {
        let depth = broker.depth(&PAYMENTS).await.unwrap_or_default();
        depth.ready + depth.delayed.unwrap_or(0) + depth.in_flight.unwrap_or(0)
    };
    while left().await > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
