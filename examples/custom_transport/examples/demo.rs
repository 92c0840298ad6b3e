//! Publish, handle, crash, handle the rest. `cargo run -p pontoon-example-file --example demo`

use std::fs::OpenOptions;
use std::io::Write;

use pontoon::Subscription;
use pontoon::prelude::*;
use pontoon_example_file::{Folder, FolderConfig, connect};

const JOBS: Queue<String> = Queue::new("jobs").dead_letter("jobs.dead");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::temp_dir().join(format!("pontoon-file-demo-{}", std::process::id()));
    let folder = Folder::open(FolderConfig::new(&place)).await?;
    let broker = Broker::with_transport(connect(&folder));

    let publisher = broker.publisher(JOBS).await?;
    for job in ["wash", "dry", "fold", "iron", "stow"] {
        let receipt = publisher.publish(&job.to_owned()).await?;
        println!("stored {job} as number {}", receipt.broker_id);
    }
    let jobs = broker.subscribe(JOBS).await?;
    handle(&jobs, 2).await?;

    let torn = folder.crash(|journal, _| OpenOptions::new().append(true).open(journal)?.write_all(&[9, 0, 0, 0, 1, 2]));
    torn.await??;
    println!("the broker crashed and left half a write behind; it runs again");

    handle(&jobs, 3).await?;
    println!("left in the queue: {}", broker.depth(&JOBS).await?.ready);
    broker.close().await?;
    drop(folder);
    Ok(std::fs::remove_dir_all(place)?)
}

/// Handles so many jobs, each for good before the next one.
async fn handle(jobs: &Subscription<String>, count: usize) -> pontoon::Result<()> {
    for _ in 0..count {
        let Some(delivery) = jobs.next().await else { break };
        let delivery = delivery?;
        println!("handled {} (attempt {})", delivery.payload(), delivery.attempt());
        delivery.ack_confirmed().await?;
    }
    Ok(())
}
