//! The broker is a URL: the same program on any of them. `PONTOON_URL=memory:// cargo run --example swap`
//!
//! There is no default: without `PONTOON_URL` the program says what to set. What the broker behind the URL cannot do is
//! refused when a channel opens, by name; what it can do is asked here first.

use pontoon::prelude::*;
use pontoon::{Capability, Level};

const READINGS: Queue<String, pontoon::Plain> = Queue::new("swap.readings").dead_letter("swap.readings.dead");

#[tokio::main]
async fn main() -> std::process::ExitCode {
    match run().await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run() -> pontoon::Result<()> {
    let broker = Broker::from_env("PONTOON_URL").await?;

    broker.ensure(&READINGS).await?;
    let capabilities = broker.capabilities(&READINGS)?;
    println!("profile {}", capabilities.profile());
    for &capability in Capability::ALL {
        let level = capabilities.level(capability);
        if level != Level::Absent {
            println!("  {capability}: {level}");
        }
    }

    let publisher = broker.publisher(READINGS).await?;
    let receipt = publisher.publish(&"21.5 °C".to_owned()).await?;
    println!("stored as {}", receipt.broker_id);

    let subscription = broker.subscribe(READINGS).await?;
    if let Some(delivery) = subscription.next().await {
        let delivery = delivery?;
        println!("received {:?}, attempt {}", delivery.payload(), delivery.attempt());
        delivery.ack_confirmed().await?;
    }
    println!("{}", subscription.drain(std::time::Duration::from_secs(5)).await);
    broker.close().await
}
