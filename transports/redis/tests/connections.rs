//! Ways to a server beside plain TCP: TLS, which is verified, and Unix sockets. On both servers.
#![allow(clippy::unwrap_used)]

#[path = "backend/server.rs"]
mod server;

mod common;

use std::os::unix::fs::symlink;
use std::time::Duration;

use common::{Consumer, Other, connect, declare, messages, publish, queue};
use pontoon_core::driver::{AnyTransport, Disposition, Settled};
use pontoon_core::{Error, ErrorKind, ErrorStatus};
use pontoon_redis::{RedisConfig, RedisTransport};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use xtask::brokers::state::Extras;

const SERVERS: [&str; 2] = ["redis", "redis-old"];
const LATE: Duration = Duration::from_secs(5);

fn with_tls(name: &str) -> server::Server {
    server::Server::start_with(name, Extras { tls: true, ..Extras::default() }).unwrap()
}

/// Messages there and back, among them one that is larger than any buffer on the way.
async fn works(transport: &AnyTransport) {
    let channel = queue("connections");
    declare(transport, &channel, &[]).await;
    let bodies: Vec<String> = (0..200).map(|n| n.to_string()).chain(["x".repeat(3 << 20)]).collect();
    let outcomes = publish(transport, &channel, messages(bodies.clone())).await;
    assert!(outcomes.iter().all(pontoon_core::PublishOutcome::is_confirmed), "{outcomes:?}");
    let mut reader = Consumer::of(transport, &channel).await;
    let taken = reader.take(bodies.len(), LATE).await.unwrap();
    let found: Vec<&[u8]> = taken.iter().map(|incoming| incoming.message.body.as_ref()).collect();
    assert!(found == bodies.iter().map(String::as_bytes).collect::<Vec<_>>());
    for incoming in &taken {
        assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
    }
    assert!(reader.flush().await.is_empty());
    reader.close().await;
}

/// Why nobody connects there: told soon, and for good.
async fn refused(url: &str) -> Error {
    let config = RedisConfig::from_url(url).unwrap();
    let connecting = timeout(LATE, RedisTransport::connect(config)).await;
    let error = connecting.expect("it is told soon").unwrap_err();
    assert_eq!(error.status(), ErrorStatus::Permanent, "{error:?}");
    assert!(error.help().is_some(), "{error:?}");
    error
}

#[tokio::test]
async fn tls_carries_what_plain_connections_do_and_is_verified() {
    for name in SERVERS {
        let own = with_tls(name);
        let (port, ca) = (own.tls_port(), own.certificate("ca.pem"));
        for host in ["localhost", "127.0.0.1"] {
            works(&connect(&format!("rediss://{host}:{port}"), &format!("ca={ca}")).await).await;
        }

        let wrong = refused(&format!("rediss://localhost:{port}?ca={}", own.certificate("client.pem"))).await;
        assert_eq!(wrong.kind(), ErrorKind::Connection);
        assert!(wrong.to_string().contains("authority that is not trusted"), "{wrong}");

        // The same server by a name that its certificate does not have.
        let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
        let other_name = listener.local_addr().unwrap();
        let way = tokio::spawn(async move {
            let (mut from, _) = listener.accept().await.unwrap();
            let mut to = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = copy_bidirectional(&mut from, &mut to).await;
        });
        let wrong = refused(&format!("rediss://{other_name}?ca={ca}")).await;
        assert!(wrong.to_string().contains("for another name"), "{wrong}");
        way.await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    for name in SERVERS {
        let own = with_tls(name);
        let mut other = Other::at(&format!("redis://{}", own.address()));
        assert_eq!(other.ask(&["CONFIG", "SET", "tls-auth-clients", "yes"]), "OK");
        let (url, ca) = (format!("rediss://localhost:{}", own.tls_port()), own.certificate("ca.pem"));
        let without = refused(&format!("{url}?ca={ca}")).await;
        assert_eq!(without.kind(), ErrorKind::Permission, "{without:?}");
        assert!(without.help().unwrap().contains("`cert`"), "{without}");
        let (cert, key) = (own.certificate("client.pem"), own.certificate("client.key"));
        works(&connect(&url, &format!("ca={ca}&cert={cert}&key={key}")).await).await;
    }
}

#[tokio::test]
async fn files_that_are_of_no_use_are_named() {
    let own = with_tls("redis");
    let url = format!("rediss://localhost:{}", own.tls_port());
    let (ca, key) = (own.certificate("ca.pem"), own.certificate("client.key"));
    for (settings, setting) in [
        ("ca=/nowhere.pem".to_owned(), "ca"),
        (format!("ca={key}"), "ca"),
        (format!("ca={ca}&cert={key}&key={key}"), "cert"),
        (format!("ca={ca}&cert={ca}&key={ca}"), "key"),
        (format!("ca={ca}&cert={ca}&key={key}"), "key"),
    ] {
        let error = refused(&format!("{url}?{settings}")).await;
        assert_eq!((error.kind(), error.context("setting")), (ErrorKind::InvalidConfig, Some(setting)), "{error:?}");
    }
}

#[tokio::test]
async fn a_port_without_tls_is_told_apart() {
    let own = server::Server::start("redis").unwrap();
    // Such a server waits for the end of what it takes for a command; others answer at once, as this one does.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = own.address();
    let way = tokio::spawn(async move {
        let (mut from, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(to).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut to, b"NONSENSE\r\n").await.unwrap();
        let _ = copy_bidirectional(&mut from, &mut to).await;
    });
    let error = refused(&format!("rediss://{address}")).await;
    assert!(error.to_string().contains("does not speak TLS"), "{error}");
    way.await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_a_way_too() {
    for name in SERVERS {
        let own = server::Server::start(name).unwrap();
        // Such paths are short by law; that of this checkout need not be.
        let short = std::env::temp_dir().join(format!("pontoon-{:x}.sock", pontoon_core::os_seed()));
        symlink(own.socket(), &short).unwrap();
        let transport = connect(&format!("redis+unix://{}", short.display()), "db=3").await;
        works(&transport).await;
        let mut other = Other::at(&format!("redis://{}", own.address()));
        assert!(other.ask(&["INFO", "keyspace"]).contains("db3:"), "the database of the setting");
        std::fs::remove_file(&short).unwrap();
        let gone = RedisConfig::from_url(&format!("redis+unix://{}", short.display())).unwrap();
        let error = RedisTransport::connect(gone).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, ErrorStatus::Temporary));
        assert!(error.to_string().contains(&short.display().to_string()), "{error}");
    }
}
