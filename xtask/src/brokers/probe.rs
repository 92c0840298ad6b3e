//! Healthy means: the broker answers in its own protocol. An open port is not enough.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::table::{Broker, Family};
use crate::report::{Doing, Outcome, Problem};

/// A paused broker accepts and stays silent, so every answer has a bound.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the broker's node on `port` for a sign of life.
///
/// # Errors
/// When it does not answer as its protocol says.
pub fn answer(broker: &Broker, port: u16) -> Outcome<()> {
    match broker.family {
        Family::RabbitMq => amqp(port),
        Family::Kafka => kafka(port).map(drop),
        Family::Redis => redis(port, &["PING"]).and_then(|reply| {
            (reply == "+PONG").then_some(()).ok_or_else(|| Problem::new(format!("PING was answered with {reply}")))
        }),
        Family::ElasticMq | Family::Moto => sqs(port),
    }
}

/// Connects to each of `ports`.
///
/// # Errors
/// When one does not listen.
pub fn listen(ports: &[u16]) -> Outcome<()> {
    ports.iter().try_for_each(|port| connect(*port).map(drop))
}

fn connect(port: u16) -> Outcome<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect_timeout(&address, PATIENCE).doing(|| format!("connecting to {address}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .doing(|| format!("connecting to {address}"))?;
    Ok(stream)
}

/// What went wrong while a broker should have answered.
fn silent<T>(result: std::io::Result<T>) -> Outcome<T> {
    result.map_err(|error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            Problem::new(format!("connected, but no answer within {PATIENCE:?}"))
        }
        _ => Problem::new(format!("connected, then: {error}")),
    })
}

/// The protocol header is answered with a method frame, whose first byte is 1.
fn amqp(port: u16) -> Outcome<()> {
    let mut stream = connect(port)?;
    silent(stream.write_all(b"AMQP\0\0\x09\x01"))?;
    let mut first = [0];
    silent(stream.read_exact(&mut first))?;
    if first == [1] {
        return Ok(());
    }
    Err(Problem::new("the answer is not AMQP 0-9-1"))
}

/// One request and its answer, without headers: `key` and `version` as Kafka numbers them.
fn kafka_call(port: u16, key: i16, body: &[u8]) -> Outcome<Vec<u8>> {
    const CORRELATION: [u8; 4] = *b"pont";
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(0_i16.to_be_bytes());
    request.extend(CORRELATION);
    request.extend((-1_i16).to_be_bytes());
    request.extend(body);
    let length = i32::try_from(request.len()).doing(|| "sizing a request".to_owned())?;
    let mut stream = connect(port)?;
    silent(stream.write_all(&length.to_be_bytes()))?;
    silent(stream.write_all(&request))?;
    let mut size = [0; 4];
    silent(stream.read_exact(&mut size))?;
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap_or(0);
    if !(4..1 << 20).contains(&size) {
        return Err(Problem::new("the answer is not Kafka's"));
    }
    let mut answer = vec![0; size];
    silent(stream.read_exact(&mut answer))?;
    if answer.get(..4) != Some(&CORRELATION) {
        return Err(Problem::new("the answer is not to this request"));
    }
    Ok(answer.split_off(4))
}

/// `ApiVersions` 0: an error code, 0 when well.
fn kafka(port: u16) -> Outcome<Vec<u8>> {
    let answer = kafka_call(port, 18, &[])?;
    if answer.get(..2) != Some(&[0, 0]) {
        return Err(Problem::new("Kafka answers with an error"));
    }
    Ok(answer)
}

/// How many brokers a Kafka node knows to be alive, by `Metadata` 0 for no topic in particular.
///
/// # Errors
/// When the node does not answer.
pub fn kafka_brokers(port: u16) -> Outcome<usize> {
    let answer = kafka_call(port, 3, &0_i32.to_be_bytes())?;
    let count = answer.first_chunk::<4>().map(|bytes| i32::from_be_bytes(*bytes));
    count.and_then(|count| usize::try_from(count).ok()).ok_or_else(|| Problem::new("the answer holds no brokers"))
}

/// One command, and the first line of its answer (the whole text when it is a long one).
///
/// # Errors
/// When the server does not answer.
pub fn redis(port: u16, words: &[&str]) -> Outcome<String> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    let mut stream = connect(port)?;
    silent(stream.write_all(request.as_bytes()))?;
    let line = line(&mut stream)?;
    let Some(length) = line.strip_prefix('$').and_then(|text| text.parse::<usize>().ok()) else {
        return Ok(line);
    };
    let mut text = vec![0; length];
    silent(stream.read_exact(&mut text))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn line(stream: &mut TcpStream) -> Outcome<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n") {
        silent(stream.read_exact(&mut byte))?;
        text.extend(byte);
    }
    text.truncate(text.len() - 2);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn sqs(port: u16) -> Outcome<()> {
    sqs_call(port, "ListQueues", "{}").map(drop)
}

/// One call of SQS by its JSON protocol.
///
/// # Errors
/// When it is not answered with JSON and status 200.
pub fn sqs_call(port: u16, action: &str, body: &str) -> Outcome<String> {
    let headers = format!(
        "Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, \
         SignedHeaders=host, Signature=0\r\n"
    );
    let (status, text) = http(port, "POST", "/", &headers, body)?;
    if status == 200 && text.trim_start().starts_with('{') {
        return Ok(text);
    }
    Err(Problem::new(format!("{action} was answered with status {status}: {text}")))
}

/// One call of RabbitMQ's HTTP API, as its first user, who may do everything on loopback.
///
/// # Errors
/// When no whole answer comes.
pub fn rabbitmq_call(port: u16, method: &str, path: &str, body: &str) -> Outcome<(u16, String)> {
    let headers = "Content-Type: application/json\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";
    http(port, method, path, headers, body)
}

/// One HTTP call with more `headers`, each ended by a line break.
///
/// # Errors
/// When no whole answer comes.
pub fn http(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Outcome<(u16, String)> {
    // Version 1.0: the server closes at the end, and sends no chunks.
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    let mut stream = connect(port)?;
    silent(stream.write_all(request.as_bytes()))?;
    let mut answer = Vec::new();
    silent(stream.read_to_end(&mut answer))?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, text) = answer.split_once("\r\n\r\n").ok_or_else(|| Problem::new("the answer is not HTTP"))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| Problem::new("the answer is not HTTP"))?;
    Ok((status, text.to_owned()))
}

/// How many nodes of a RabbitMQ run, by its HTTP API.
///
/// # Errors
/// When the API does not answer.
pub fn rabbitmq_nodes(port: u16) -> Outcome<usize> {
    let (status, text) = rabbitmq_call(port, "GET", "/api/nodes", "")?;
    if status != 200 {
        return Err(Problem::new(format!("/api/nodes: status {status}")));
    }
    let nodes: Value = serde_json::from_str(&text).doing(|| "reading /api/nodes".to_owned())?;
    Ok(nodes
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| node.get("running").and_then(Value::as_bool) == Some(true))
        .count())
}
