//! One message put into a broker, and found again.

use std::process::Command;

use xtask::brokers::place::Place;
use xtask::brokers::probe::{rabbitmq_call, redis, sqs_call};
use xtask::brokers::process::wait;
use xtask::brokers::table::{Broker, Family, offset};

use super::{SOON, mnesia};
use crate::sandbox::Sandbox;

const TEXT: &str = "app-kept";

/// A Java class of the Kafka installation, run with `words`.
pub(super) fn kafka_tool(class: &str, words: &[&str], input: &str) -> (bool, String) {
    use std::io::Write;
    let libs = Place::find().unwrap().installation(super::broker("kafka").installation).join("libs/*");
    let mut child = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx128m", "-cp"])
        .arg(libs)
        .arg(format!("org.apache.kafka.tools.{class}"))
        .args(words)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A tool that refuses its arguments reads nothing.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = crate::sandbox::said(&output);
    (said.well, said.text)
}

/// Stores a message, acknowledged by the broker.
pub(super) fn put(sandbox: &Sandbox, broker: &Broker, base: u16) {
    match broker.family {
        Family::RabbitMq => {
            let http = base + offset::HTTP;
            let queue = "{\"durable\":true}";
            let (status, text) = rabbitmq_call(http, "PUT", &format!("/api/queues/%2F/{TEXT}"), queue).unwrap();
            assert_eq!(status, 201, "{text}");
            let message = format!(
                "{{\"properties\":{{\"delivery_mode\":2}},\"routing_key\":\"{TEXT}\",\
                 \"payload\":\"{TEXT}\",\"payload_encoding\":\"string\"}}"
            );
            let path = "/api/exchanges/%2F/amq.default/publish";
            let (status, text) = rabbitmq_call(http, "POST", path, &message).unwrap();
            assert!(status == 200 && text.contains("true"), "{status} {text}");
            let data = sandbox.state().join(broker.name).join("1/data");
            let kept = wait(SOON, || mnesia::keeps(&data, TEXT));
            assert!(kept, "no decision about the queue in a log below {}", data.display());
        }
        Family::Kafka => {
            let server = format!("127.0.0.1:{base}");
            let at = ["--bootstrap-server", &server, "--topic", TEXT];
            let create = [&at[..], &["--create", "--partitions", "1"]].concat();
            let (well, text) = kafka_tool("TopicCommand", &create, "");
            assert!(well, "{text}");
            let (well, text) = kafka_tool("ConsoleProducer", &at, &format!("{TEXT}\n"));
            assert!(well && !text.contains("ERROR"), "{text}");
        }
        Family::Redis => {
            assert_eq!(redis(base, &["SET", TEXT, TEXT]).unwrap(), "+OK");
        }
        Family::ElasticMq => {
            let queue = format!("{{\"QueueName\":\"{TEXT}\"}}");
            sqs_call(base, "CreateQueue", &queue).unwrap();
            let message = format!("{{\"QueueUrl\":\"{}\",\"MessageBody\":\"{TEXT}\"}}", url(base));
            sqs_call(base, "SendMessage", &message).unwrap();
        }
        Family::Moto => {}
    }
}

fn url(base: u16) -> String {
    format!("http://127.0.0.1:{base}/000000000000/{TEXT}")
}

/// Finds it again.
pub(super) fn find(broker: &Broker, base: u16) {
    let found = match broker.family {
        Family::RabbitMq => {
            let body = "{\"count\":1,\"ackmode\":\"ack_requeue_true\",\"encoding\":\"auto\"}";
            let path = format!("/api/queues/%2F/{TEXT}/get");
            rabbitmq_call(base + offset::HTTP, "POST", &path, body).unwrap().1
        }
        Family::Kafka => {
            let server = format!("127.0.0.1:{base}");
            let words = ["--bootstrap-server", &server, "--topic", TEXT];
            let more = ["--from-beginning", "--max-messages", "1", "--timeout-ms", "20000"];
            kafka_tool("consumer.ConsoleConsumer", &[&words[..], &more].concat(), "").1
        }
        Family::Redis => redis(base, &["GET", TEXT]).unwrap(),
        Family::ElasticMq => {
            let body = format!("{{\"QueueUrl\":\"{}\"}}", url(base));
            sqs_call(base, "ReceiveMessage", &body).unwrap()
        }
        Family::Moto => TEXT.to_owned(),
    };
    assert!(found.contains(TEXT), "{}: {found}", broker.name);
}
