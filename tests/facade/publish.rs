//! Publishing payloads.

use std::time::Duration;

use pontoon::{Codec, Error, ErrorKind, Message, PublishError, Queue, Raw};

use crate::support::{FLIGHTS, LOOSE, broker, flight};

#[tokio::test(start_paused = true)]
async fn a_payload_travels_with_type_key_and_content_type() {
    let broker = broker().await;
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    flights.publish(&flight(1)).await.unwrap();
    flights.publish_with(&flight(2), |message| message.with_header("tenant", "acme").with_id("two")).await.unwrap();
    let subscription = broker.subscribe(FLIGHTS).await.unwrap();
    let first = subscription.next().await.unwrap().unwrap();
    assert_eq!(first.payload(), &flight(1));
    let message = first.message();
    assert_eq!((message.type_name.as_str(), message.content_type.as_str()), ("Flight", "application/json"));
    assert_eq!(message.key.as_ref().unwrap().as_bytes(), b"SFO");
    assert_eq!(&message.body[..], br#"{"origin":"SFO","number":1}"#);
    assert!(!message.id.is_unset() && message.timestamp_ms > 0);
    let second = subscription.next().await.unwrap().unwrap();
    assert_eq!(second.message().id.to_string(), "two");
    assert_eq!(second.message().headers.get("tenant").unwrap().as_str(), Some("acme"));
    let _ = (first.ack(), second.ack());
}

#[tokio::test(start_paused = true)]
async fn raw_bodies_are_untouched() {
    const JOBS: Queue<Raw> = Queue::new("jobs").dead_letter("jobs.dead");
    let broker = broker().await;
    let jobs = broker.publisher(JOBS).await.unwrap();
    let body: Vec<u8> = (0..=255).collect();
    jobs.publish(&Raw::from(body.clone())).await.unwrap();
    jobs.publish(&Raw::default()).await.unwrap();
    let subscription = broker.subscribe(JOBS).await.unwrap();
    for expected in [&body[..], b""] {
        let job = subscription.next().await.unwrap().unwrap();
        assert_eq!(&job.payload()[..], expected);
        assert_eq!((job.message().type_name.as_str(), job.message().content_type.as_str()), ("", ""));
        let _ = job.ack();
    }
}

#[tokio::test(start_paused = true)]
async fn enqueued_messages_are_there_after_a_flush_and_a_closed_publisher_rejects() {
    let broker = broker().await;
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    let mut pending = Vec::new();
    for number in 0..10 {
        pending.push(flights.enqueue(&flight(number)).await.unwrap());
    }
    flights.flush().await;
    assert_eq!(broker.depth(&FLIGHTS).await.unwrap().ready, 10);
    for one in pending {
        one.await.unwrap();
    }
    let report = flights.close(Duration::from_secs(1)).await;
    assert_eq!((report.stats.confirmed, report.abandoned), (10, 0));
    let error = flights.publish(&flight(11)).await.unwrap_err();
    assert!(
        matches!(&error, PublishError::Rejected { error, message } if error.kind() == ErrorKind::Closed
        && message.body.starts_with(b"{")),
        "{error}"
    );
}

/// Odd numbers cannot be written.
struct Even;
impl Codec<u64> for Even {
    const CONTENT_TYPE: &'static str = "text/plain";
    fn encode(number: &u64, buffer: &mut bytes::BytesMut) -> pontoon::Result<bytes::Bytes> {
        if number % 2 == 1 {
            return Err(Error::new(ErrorKind::Codec, "encode payload", format!("{number} is odd")));
        }
        buffer.extend_from_slice(number.to_string().as_bytes());
        Ok(buffer.split().freeze())
    }
    fn decode(body: &bytes::Bytes) -> pontoon::Result<u64> {
        std::str::from_utf8(body)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::new(ErrorKind::Codec, "decode payload", "not a number"))
    }
}
const NUMBERS: Queue<u64, Even> = Queue::new("numbers").dead_letter("numbers.dead");

#[tokio::test(start_paused = true)]
async fn a_payload_that_cannot_be_written_is_rejected_in_its_place() {
    let broker = broker().await;
    let numbers = broker.publisher(NUMBERS).await.unwrap();
    let error = numbers.publish(&1).await.unwrap_err();
    assert!(matches!(&error, PublishError::Rejected { error, .. } if error.kind() == ErrorKind::Codec), "{error}");
    let outcomes = numbers.publish_all(0..6).await.into_outcomes();
    let confirmed: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
    assert_eq!(confirmed, [true, false, true, false, true, false]);
    assert!(outcomes[3].as_ref().unwrap_err().to_string().contains("3 is odd"));
    let mut got = Vec::new();
    let subscription = broker.subscribe(NUMBERS).await.unwrap();
    for _ in 0..3 {
        let delivery = subscription.next().await.unwrap().unwrap();
        got.push(*delivery.payload());
        let _ = delivery.ack();
    }
    assert_eq!(got, [0, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn messages_that_no_broker_needs_to_see_are_rejected() {
    let broker = broker().await;
    let flights = broker.publisher(FLIGHTS).await.unwrap();
    let bad = flights.publish_with(&flight(1), |message| message.with_header("a\u{7}b", "x")).await.unwrap_err();
    assert_eq!(bad.error().kind(), ErrorKind::InvalidHeader);
    let large = flights.publish_message(Message::new(vec![0; 17 << 20]).with_key("k")).await.unwrap_err();
    assert_eq!(large.error().kind(), ErrorKind::TooLarge);
    assert_eq!(broker.depth(&FLIGHTS).await.unwrap().ready, 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_cannot_do_is_refused_when_a_channel_opens() {
    // A wrapper that takes order away stands for a broker that has none.
    let broker = pontoon::Broker::builder().wrap(crate::support::without_order).connect("memory://").await.unwrap();
    let error = broker.publisher(FLIGHTS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.context("capability"), Some("order per key"));
    let error = broker.subscribe(FLIGHTS).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(broker.publisher(LOOSE).await.is_ok());
    // The wrapper passes on no abilities beyond the core.
    for error in [broker.depth(&LOOSE).await.unwrap_err(), broker.purge(&LOOSE).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.context("capability").is_some() && error.context("profile").is_some(), "{error}");
    }
}
