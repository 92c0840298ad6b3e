//! Whoever connects and does not speak the protocol is told so, costs nothing, and harms nobody. A client that is told
//! nonsense says so.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::*;
use pontoon_core::*;
use pontoon_memory_server::*;

const GREETING: &[u8] = b"pontoon\x02";

fn raw(server: &MemoryServer) -> TcpStream {
    let address = server.url().replace("memory-server://", "");
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

fn frame(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = (rest.len() as u32 + 1).to_le_bytes().to_vec();
    frame.push(kind);
    frame.extend_from_slice(rest);
    frame
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// What the server says until it ends the connection.
fn told(server: &MemoryServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = raw(server);
    stream.write_all(bytes).unwrap();
    let mut told = Vec::new();
    // An end with data unread is a reset, which is an end as well.
    let _ = stream.read_to_end(&mut told);
    told
}

/// The most memory the process ever used, in KiB.
fn peak(server: &MemoryServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn nonsense_is_answered_with_a_typed_error() {
    let mut stage = Stage::new(queue("q")).await;
    let producer = [GREETING, &frame(0x01, &text("q"))].concat();
    let consumer_open = [text("q"), vec![0], 1u32.to_le_bytes().to_vec()].concat();
    let consumer = [GREETING, &frame(0x02, &consumer_open)].concat();
    let packed_lie = [&0xffff_ffffu32.to_le_bytes()[..], b"x"].concat();
    let corrupt = [&3u32.to_le_bytes()[..], &[1, 8, 99], b"body"].concat();
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "greeting"),
        ("another version", b"pontoon\x03".to_vec(), "greeting"),
        ("a length that lies", [GREETING, &[0xff; 4]].concat(), "longer than any"),
        ("an empty frame", [GREETING, &[0; 4]].concat(), "empty"),
        ("an unknown kind", [GREETING, &frame(0x7f, b"")].concat(), "unknown kind"),
        ("a request that ends in the middle", [GREETING, &frame(0x03, b"\x05\0\0\0ab")].concat(), "ends in the middle"),
        ("a request out of place", [GREETING, &frame(0x10, b"")].concat(), "belongs to a producer"),
        ("a producer that consumes", [&producer[..], &frame(0x20, &[0; 4])].concat(), "only publishes"),
        ("a consumer that publishes", [&consumer[..], &frame(0x10, &[0; 4])].concat(), "only consumes"),
        ("a message that lies", [&producer[..], &frame(0x10, &packed_lie)].concat(), "ends in the middle"),
        ("fields that cannot be read", [&producer[..], &frame(0x10, &corrupt)].concat(), "fields end in the middle"),
    ];
    for (what, bytes, expected) in cases {
        let told = told(&stage.server, &bytes);
        let shown = String::from_utf8_lossy(&told);
        assert!(shown.contains(expected), "{what}: {shown:?}");
    }
    stage.publisher.put(message("still served")).await;
    assert_eq!(bodies(&stage.consumer.take(1).await), "still served");
}

#[tokio::test]
async fn noise_costs_nothing_and_harms_nobody() {
    let mut stage = Stage::with(queue("q"), options().with_setting("max_body", "1GiB")).await;
    let before = peak(&stage.server);
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..300 {
        let mut noise: Vec<u8> = if round % 3 == 0 { Vec::new() } else { GREETING.to_vec() };
        // Lengths of up to a gibibyte, of which nothing comes.
        if round % 3 == 2 {
            noise.extend_from_slice(&random.u32(1..1 << 30).to_le_bytes());
        }
        noise.extend((0..random.usize(0..200)).map(|_| random.u8(..)));
        let mut stream = raw(&stage.server);
        let _ = stream.write_all(&noise);
        drop(stream);
    }
    let held: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = raw(&stage.server);
            stream.write_all(&[GREETING, &(1u32 << 29).to_le_bytes(), &[0x10]].concat()).unwrap();
            stream
        })
        .collect();
    stage.publisher.put(message("still served")).await;
    assert_eq!(bodies(&stage.consumer.take(1).await), "still served");
    let grown = peak(&stage.server) - before;
    assert!(grown < 32 * 1024, "{grown} KiB for {} lengths that lie", held.len());
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_changes_nothing() {
    let mut stage = Stage::with(queue("q"), options().with_setting("max_messages", "1")).await;
    stage.publisher.put(message("a")).await;
    let mut stream = raw(&stage.server);
    let publish = frame(0x10, &[&1u32.to_le_bytes()[..], &[1], b"waits for room"].concat());
    stream.write_all(&[GREETING, &frame(0x01, &text("q")), &publish].concat()).unwrap();
    // Welcome and Done: it is a producer by now.
    let mut seen = [0; 26 + 13];
    stream.read_exact(&mut seen).unwrap();
    drop(stream);
    let begin = Instant::now();
    tokio::time::sleep(QUIET).await;
    let first = stage.consumer.one().await;
    stage.consumer.end(first.token, pontoon_core::driver::Disposition::Ack).await;
    stage.consumer.nothing().await;
    assert!(begin.elapsed() < BOUND);
}

/// A server that says this to whoever connects.
fn saying(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("memory-server://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.write_all(&bytes);
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    url
}

#[tokio::test]
async fn a_server_that_talks_nonsense_is_a_typed_error() {
    for (nonsense, kind) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ErrorKind::Codec),
        (vec![0xff; 4], ErrorKind::Codec),
        (vec![0; 4], ErrorKind::Codec),
        (frame(0x80, b"short"), ErrorKind::Codec),
        (frame(0x81, &[0; 8]), ErrorKind::Codec),
    ] {
        let error = ServerTransport::connect(&saying(nonsense)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.help().is_some(), "{error}");
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = ServerTransport::connect(&format!("memory-server://{free}")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, ErrorStatus::Temporary), "{error}");
}
