//! A server without memory: publishers are told, and consumers can still come and empty it.
#![allow(clippy::unwrap_used)]

#[path = "backend/server.rs"]
#[allow(dead_code)]
mod server;

mod common;

use std::time::Duration;

use common::{Consumer, Other, connect, declare, messages, publish, queue};
use pontoon_core::driver::{Disposition, Settled};
use pontoon_core::{Order, PublishOutcome, Rejection};

const LATE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_full_server_refuses_for_now_and_is_emptied_by_whoever_comes() {
    for name in ["redis", "redis-old"] {
        for order in [Order::Unordered, Order::FallBehind] {
            let own = server::Server::start(name).unwrap();
            let url = format!("redis://{}", own.address());
            let mut other = Other::at(&url);
            let transport = connect(&url, "").await;
            let mut channel = queue("full");
            channel.order = order;
            declare(&transport, &channel, &[]).await;
            let info = other.ask(&["INFO", "memory"]);
            let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
            let most = used.trim().parse::<u64>().unwrap() + (4 << 20);
            assert_eq!(other.ask(&["CONFIG", "SET", "maxmemory", &most.to_string()]), "OK");

            let (mut confirmed, mut refused) = (0, 0);
            for _ in 0..20 {
                for outcome in publish(&transport, &channel, messages((0..50).map(|_| "x".repeat(10_000)))).await {
                    match outcome {
                        PublishOutcome::Confirmed(_) => confirmed += 1,
                        PublishOutcome::Rejected(Rejection::TryAgain(error)) => {
                            assert_eq!(error.kind(), pontoon_core::ErrorKind::Full, "{error:?}");
                            refused += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            assert!(confirmed > 0 && refused > 0, "{confirmed} confirmed, {refused} refused");
            assert_eq!(other.ask(&["XLEN", channel.name.as_str()]), confirmed.to_string(), "refused is not stored");

            // Somebody who was not there yet.
            let late = connect(&url, "").await;
            declare(&late, &channel, &[]).await;
            let mut reader = Consumer::of(&late, &channel).await;
            let mut left = confirmed;
            while left > 0 {
                let some = reader.take(left.min(100), LATE).await.unwrap();
                assert!(!some.is_empty(), "{left} do not come");
                for incoming in &some {
                    assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
                }
                assert!(reader.flush().await.is_empty());
                left -= some.len();
            }
            assert!(publish(&transport, &channel, messages(["x".repeat(10_000)])).await[0].is_confirmed());
        }
    }
}
