//! Dead letters that RabbitMQ itself makes, on both versions: read through the same view as ours, and passed on whole.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::options::{BasicGetOptions, BasicPublishOptions, BasicRejectOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use lapin::{BasicProperties, Channel as Client};
use pontoon_core::driver::{AnyTransport, Ensure, Transport};
use pontoon_core::engine::{Consumer, ConsumerOptions, Delivery, Environment, Publisher, PublisherOptions};
use pontoon_core::{Channel, DeadLetterPolicy, HeaderValue, ReasonKind, Source};
use pontoon_rabbitmq::{RabbitConfig, RabbitConnections, RabbitTransport};
use tokio::time::timeout;

const BROKERS: [&str; 2] = ["PONTOON_RABBITMQ_URL", "PONTOON_RABBITMQ_OLD_URL"];
/// Nothing here takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);
const CEILING: u32 = 2;

async fn connect(variable: &str) -> AnyTransport {
    let url = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run `cargo xtask test`"));
    AnyTransport::new(RabbitTransport::connect(RabbitConfig::from_url(&url).unwrap()).await.unwrap())
}

fn discarding(name: &str) -> Channel {
    let mut channel = Channel::queue(name).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

/// Another program's way to the broker.
async fn stranger(transport: &AnyTransport) -> Client {
    let native = transport.extensions().native.unwrap().downcast::<RabbitConnections>().unwrap();
    native.consuming().await.unwrap().create_channel().await.unwrap()
}

/// Headers as a program writes them that knows nothing of us.
fn foreign() -> FieldTable {
    let mut inner = FieldTable::default();
    inner.insert("depth".into(), AMQPValue::ShortInt(7));
    let mut headers = FieldTable::default();
    headers.insert("flag".into(), AMQPValue::Boolean(true));
    headers.insert("count".into(), AMQPValue::LongInt(-5));
    headers.insert("when".into(), AMQPValue::Timestamp(1_700_000_000));
    headers.insert("table".into(), AMQPValue::FieldTable(inner));
    headers.insert("list".into(), AMQPValue::FieldArray(FieldArray::from(vec![AMQPValue::LongLongInt(1)])));
    headers
}

/// Gives the message back, as a program that fails, until the broker has enough of it.
async fn fail_until_dead(client: &Client, queue: &str) {
    let mut failures = 0;
    let all = async {
        while failures <= CEILING {
            let Some(got) = client.basic_get(queue.into(), BasicGetOptions::default()).await.unwrap() else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let again = BasicRejectOptions { requeue: true };
            client.basic_reject(got.delivery.delivery_tag, again).await.unwrap();
            failures += 1;
        }
    };
    timeout(PATIENCE, all).await.unwrap();
}

async fn read(transport: &AnyTransport, channel: &Channel) -> (Consumer, Delivery) {
    let source = Source::new(channel.clone(), None).unwrap();
    let consumer = Consumer::open(transport, source, ConsumerOptions::default(), &Environment::new()).await.unwrap();
    let delivery = timeout(PATIENCE, consumer.next()).await.expect("it comes").unwrap().unwrap();
    (consumer, delivery)
}

fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn a_broker_s_dead_letter_tells_what_the_broker_knows_and_its_headers_survive() {
    for variable in BROKERS {
        let transport = connect(variable).await;
        let unique = format!("{:x}", pontoon_core::os_seed());
        let (dead, elsewhere) = (discarding(&format!("dead.{unique}")), discarding(&format!("elsewhere.{unique}")));
        let mut channel = Channel::queue(format!("works.{unique}")).unwrap();
        channel.dead_letter = DeadLetterPolicy::To(dead.name.clone());
        channel.delivery_ceiling = CEILING;
        transport.ensure(&Ensure::new(channel.clone())).await.unwrap();

        let client = stranger(&transport).await;
        client.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let properties = BasicProperties::default().with_delivery_mode(2).with_headers(foreign());
        let name = channel.name.as_str();
        let options = BasicPublishOptions::default();
        let sent = client.basic_publish("".into(), name.into(), options, b"\x00body", properties).await.unwrap();
        assert!(sent.await.unwrap().is_ack());
        let before = now_ms() / 1000 * 1000;
        fail_until_dead(&client, name).await;

        let (_reading, letter) = read(&transport, &dead).await;
        let info = Arc::clone(letter.message().history().dead_letter.as_ref().expect("it says why"));
        assert_eq!(info.reason, Some(ReasonKind::DeliveryCeiling), "{variable}");
        assert_eq!((info.channel.as_deref(), info.subscription.as_deref()), (Some(name), None), "{variable}");
        let last = info.last_failure_ms.expect("the broker writes when");
        assert!((before..=now_ms()).contains(&last), "{variable}: {last}, begun at {before}");
        let unknown = (info.error.as_deref(), info.attempts, info.first_failure_ms);
        assert_eq!(unknown, (None, None, None), "{variable}: nothing is invented");

        let message = letter.message().clone();
        assert_eq!(&message.body[..], b"\x00body");
        assert_eq!(message.headers.get("flag"), Some(&HeaderValue::Bool(true)));
        assert_eq!(message.headers.get("count"), Some(&HeaderValue::Int(-5)));
        for own in ["when", "table", "list", "x-death"] {
            let value = message.headers.get(own);
            assert!(matches!(value, Some(HeaderValue::Native { .. })), "{variable}: {own} is {value:?}");
        }
        let _ = letter.ack();

        // Passed on by us it is as it was: the broker adds nothing to what it wrote, and takes nothing away.
        transport.ensure(&Ensure::new(elsewhere.clone())).await.unwrap();
        let (options, env) = (PublisherOptions::default(), Environment::new());
        let publisher = Publisher::open(&transport, elsewhere.clone(), options, &env).await.unwrap();
        publisher.publish(message.clone()).await.unwrap();
        let (_reading, passed) = read(&transport, &elsewhere).await;
        for name in ["flag", "count", "when", "table", "list", "x-death"] {
            assert_eq!(passed.message().headers.get(name), message.headers.get(name), "{variable}: {name}");
        }
        let _ = passed.ack();
        transport.close().await.unwrap();
    }
}
