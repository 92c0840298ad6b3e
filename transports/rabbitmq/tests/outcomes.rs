//! Outcomes where the client library alone gets them wrong: many tasks, and half of the messages lead nowhere.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pontoon_core::driver::{AnyTransport, Ensure, Transport};
use pontoon_core::engine::{Environment, Publisher, PublisherOptions};
use pontoon_core::{Channel, ErrorKind, History, Message, Source, Subscription};
use pontoon_rabbitmq::{RabbitConfig, RabbitTransport};

const BROKERS: [&str; 2] = ["PONTOON_RABBITMQ_URL", "PONTOON_RABBITMQ_OLD_URL"];
const TASKS: usize = 8;
const EACH: usize = 12_500;
/// How many publishes of one task are under way at once.
const AT_ONCE: usize = 50;

async fn connect(variable: &str) -> AnyTransport {
    let url = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
    AnyTransport::new(RabbitTransport::connect(RabbitConfig::from_url(&url).unwrap()).await.unwrap())
}

fn unique(what: &str) -> String {
    format!("{what}.{:x}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos())
}

/// A message for one subscription of its topic.
fn only_for(subscription: &str) -> Message {
    Message::new("body").with_history(History { only_for: Some(subscription.into()), ..History::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tasks_hear_the_truth_about_every_message() {
    for variable in BROKERS {
        let transport = connect(variable).await;
        let topic = Channel::topic(unique("outcomes")).unwrap();
        let there = Subscription::new("there").unwrap();
        transport.ensure(&Ensure::new(topic.clone()).with_subscription(there.clone())).await.unwrap();
        let options = PublisherOptions::default();
        let publisher = Publisher::open(&transport, topic.clone(), options, &Environment::new()).await.unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let publisher = publisher.clone();
                tokio::spawn(async move {
                    let mut wrong = Vec::new();
                    for round in 0..EACH / AT_ONCE {
                        let routed = |at: usize| (round + at).is_multiple_of(2);
                        let message = |at| only_for(if routed(at) { "there" } else { "nowhere" });
                        let publishing = (0..AT_ONCE).map(|at| publisher.publish(message(at)));
                        for (at, outcome) in futures_util::future::join_all(publishing).await.into_iter().enumerate() {
                            let right = match &outcome {
                                Ok(_) => routed(at),
                                Err(error) => !routed(at) && error.error().kind() == ErrorKind::NotFound,
                            };
                            if !right {
                                wrong.push(format!("routed {}: {outcome:?}", routed(at)));
                            }
                        }
                    }
                    wrong
                })
            })
            .collect();
        let mut wrong = Vec::new();
        for task in tasks {
            wrong.append(&mut task.await.unwrap());
        }
        assert!(wrong.is_empty(), "{} of {} outcomes are wrong, such as {}", wrong.len(), TASKS * EACH, wrong[0]);
        let source = Source::new(topic, Some(there)).unwrap();
        let depth = transport.extensions().depth.unwrap();
        let stored = (TASKS * EACH / 2) as u64;
        let mut ready = 0;
        // The broker counts a little later than it confirms.
        for _ in 0..100 {
            ready = depth.depth(&source).await.unwrap().ready;
            if ready == stored {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(ready, stored, "what was confirmed is there, and nothing else");
        let _ = publisher.close(Duration::from_secs(5)).await;
        transport.close().await.unwrap();
    }
}
