//! A user with few rights, who may declare nothing and only use names that begin with `app-`, on both brokers.

use std::time::Duration;

use super::common::{BROKERS, Consumer, connect, declare, end_of_publishing, messages, name, publish, python, told};
use pontoon_core::driver::{Disposition, Ensure, OpenConsumer, Settled, Transport};
use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Error, ErrorKind, ErrorStatus, Message, Order, Source};

const LATE: Duration = Duration::from_secs(10);

/// The URLs of the administrator and of the user.
fn urls() -> [[String; 2]; 2] {
    BROKERS.map(|broker| [told(&format!("{broker}_URL")), told(&format!("{broker}_USER_URL"))])
}

fn queue_of(prefix: &str) -> Channel {
    let mut channel = Channel::queue(name(prefix)).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

#[tokio::test]
async fn what_another_program_declared_is_used_without_declaring() {
    for [admin, user] in urls() {
        let (admin, user) = (connect(&admin).await, connect(&user).await);
        let topic = Channel::topic(name("app-topic")).unwrap();
        declare(&admin, &topic, &["audit"]).await;
        // A topic is published to through its exchange, and read as the queue that was bound to it.
        let there = Channel::existing(topic.name.as_str(), ChannelKind::Topic).unwrap();
        let read = Channel::existing(format!("{}--sub-audit", topic.name), ChannelKind::Queue).unwrap();
        for existing in [&there, &read] {
            user.ensure(&Ensure::new(existing.clone())).await.unwrap();
        }
        assert!(publish(&user, &there, messages(["a".to_owned()])).await[0].is_confirmed());
        let mut reader = Consumer::of(&user, &read).await;
        let incoming = reader.take(1, LATE).await.unwrap().remove(0);
        assert_eq!(&incoming.message.body[..], b"a");
        assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        assert!(reader.flush().await.is_empty());
        reader.close().await;
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_named_and_it_is_for_good() {
    for [admin, user] in urls() {
        let (admin, user) = (connect(&admin).await, connect(&user).await);
        let refused = user.ensure(&Ensure::new(queue_of("app-new"))).await.unwrap_err();
        expect(&refused, "configure");

        // To a queue one publishes through the default exchange, to which the user may not write.
        let channel = queue_of("app-queue");
        declare(&admin, &channel, &[]).await;
        let existing = Channel::existing(channel.name.as_str(), ChannelKind::Queue).unwrap();
        let ended = tokio::time::timeout(LATE, end_of_publishing(&user, &existing)).await;
        expect(&ended.expect("an end in time"), "write");

        let other = queue_of("other");
        declare(&admin, &other, &[]).await;
        let source = Source::new(Channel::existing(other.name.as_str(), ChannelKind::Queue).unwrap(), None).unwrap();
        let refused = user.open_consumer(OpenConsumer::new(source, 1)).await.unwrap_err();
        expect(&refused, "read");
    }
}

/// Makes a user who may declare only names that begin with `app-`: no queue that the broker names.
fn user_of_app(http: &str) -> String {
    let user = name("user");
    let script = r#"
import base64, json, sys, urllib.request
port, user = sys.argv[1:]
rights = {"configure": "^app-", "write": ".*", "read": ".*"}
for path, body in [("users/" + user, {"password": "open-sesame", "tags": ""}), ("permissions/%2F/" + user, rights)]:
    put = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}", json.dumps(body).encode(), method="PUT")
    put.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    urllib.request.urlopen(put)
"#;
    python(&["-c", script, http.rsplit_once(':').unwrap().1, &user]);
    user
}

#[tokio::test]
async fn who_may_not_be_heard_by_other_members_reads_all_shards() {
    for broker in BROKERS {
        let user = user_of_app(&told(&format!("{broker}_HTTP_URL")));
        let url = told(&format!("{broker}_URL")).replace("guest:guest", &format!("{user}:open-sesame"));
        let transport = connect(&url).await;
        let mut channel = queue_of("app-shards");
        (channel.order, channel.shards) = (Order::FallBehind, Some(4));
        declare(&transport, &channel, &[]).await;
        let mut reader = Consumer::of(&transport, &channel).await;
        let keyed = |number: u32| Message::new(number.to_string()).with_id(name("m")).with_key(number.to_string());
        let outcomes = publish(&transport, &channel, (0..40).map(keyed).collect()).await;
        assert!(outcomes.iter().all(pontoon_core::PublishOutcome::is_confirmed));
        assert_eq!(reader.take(40, LATE).await.unwrap().len(), 40);
        reader.close().await;
        transport.close().await.unwrap();
    }
}

fn expect(error: &Error, right: &str) {
    let found = (error.kind(), error.status(), error.context("right"));
    assert_eq!(found, (ErrorKind::Permission, ErrorStatus::Permanent, Some(right)), "{error:?}");
    assert!(error.help().is_some() && !format!("{error:?}").contains("app-secret"), "{error:?}");
}
