//! TLS with real certificates on both brokers, which ask for one of the client.

use std::time::{Duration, Instant};

use super::common::{BROKERS, Consumer, declare, messages, publish, queue, told};
use pontoon_core::driver::{AnyTransport, Disposition, Settled, Transport};
use pontoon_core::{Error, ErrorKind, ErrorStatus};
use pontoon_rabbitmq::{RabbitConfig, RabbitTransport};
use tokio::net::{TcpListener, TcpStream};

/// What cannot work says so, instead of waiting for something.
const QUICK: Duration = Duration::from_secs(20);
const LATE: Duration = Duration::from_secs(10);

/// The URL with TLS, and the settings for a client with certificate.
fn secure(broker: &str) -> (String, [String; 3]) {
    let file = |setting: &str| format!("{setting}={}", told(&format!("PONTOON_TLS_{}", setting.to_uppercase())));
    (told(&format!("{broker}_TLS_URL")), ["ca", "cert", "key"].map(file))
}

async fn refused(url: &str) -> Error {
    let began = Instant::now();
    let connecting = RabbitTransport::connect(RabbitConfig::from_url(url).unwrap());
    let error = tokio::time::timeout(QUICK, connecting).await.expect("a quick answer").unwrap_err();
    println!("{:?}: {error:?}", began.elapsed());
    error
}

#[tokio::test]
async fn messages_travel_over_tls_with_a_client_certificate() {
    for broker in BROKERS {
        let (url, files) = secure(broker);
        let config = RabbitConfig::from_url(&format!("{url}?{}", files.join("&"))).unwrap();
        let transport = AnyTransport::new(RabbitTransport::connect(config).await.unwrap());
        let channel = queue("tls");
        declare(&transport, &channel, &[]).await;
        assert!(publish(&transport, &channel, messages(["over TLS".to_owned()])).await[0].is_confirmed());
        let mut reader = Consumer::of(&transport, &channel).await;
        let incoming = reader.take(1, LATE).await.unwrap().remove(0);
        assert_eq!(&incoming.message.body[..], b"over TLS");
        assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        assert!(reader.flush().await.is_empty());
        reader.close().await;
        transport.close().await.unwrap();
    }
}

/// The same broker under an address that its certificate does not name.
async fn elsewhere(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let here = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        }
    });
    here
}

#[tokio::test]
async fn what_is_wrong_with_certificates_is_said_at_once_and_for_good() {
    for broker in BROKERS {
        let (url, [ca, cert, key]) = secure(broker);
        let port: u16 = url.rsplit_once(':').unwrap().1.parse().unwrap();
        let other = elsewhere(port).await;
        let stranger = cert.replace("cert=", "ca=");
        for (words, url) in [
            ("name", format!("amqps://guest:guest@127.0.0.2:{other}?{ca}&{cert}&{key}")),
            ("authority", format!("{url}?{cert}&{key}")),
            ("authority", format!("{url}?{stranger}&{cert}&{key}")),
        ] {
            let error = refused(&url).await;
            assert_eq!((error.kind(), error.status()), (ErrorKind::Connection, ErrorStatus::Permanent), "{error:?}");
            assert!(error.to_string().contains(words), "{words}: {error}");
            assert!(error.help().is_some() && !format!("{error:?}").contains("guest:guest"), "{error:?}");
        }
        // That one is missing is said in an alert, which the end of the connection may overtake.
        let error = refused(&format!("{url}?{ca}")).await;
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("`cert` and `key`")), "{error:?}");
        let plain = told(&format!("{broker}_URL")).rsplit_once(':').unwrap().1.to_owned();
        let error = refused(&format!("amqps://guest:guest@localhost:{plain}?{ca}&{cert}&{key}")).await;
        assert_eq!(error.kind(), ErrorKind::Connection);
        let error = refused(&format!("amqp://guest:guest@localhost:{port}")).await;
        assert_eq!(error.kind(), ErrorKind::Connection);
    }
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_named() {
    let (url, [ca, cert, _]) = secure(BROKERS[0]);
    for (setting, url) in [
        ("ca", format!("{url}?ca=/nowhere/ca.pem")),
        ("ca", format!("{url}?ca=Cargo.toml")),
        ("cert", format!("{url}?{ca}&cert=Cargo.toml&key=Cargo.toml")),
        ("key", format!("{url}?{ca}&{cert}&key=Cargo.toml")),
    ] {
        let error = refused(&url).await;
        assert_eq!((error.kind(), error.context("setting")), (ErrorKind::InvalidConfig, Some(setting)), "{error:?}");
    }
}

#[tokio::test]
async fn a_wrong_password_is_for_good_and_is_not_shown() {
    for broker in BROKERS {
        let url = told(&format!("{broker}_URL")).replace("guest:guest", "guest:hunter2");
        let error = refused(&url).await;
        assert_eq!((error.kind(), error.status()), (ErrorKind::Permission, ErrorStatus::Permanent), "{error:?}");
        assert!(!format!("{error:?} {error}").contains("hunter2"), "{error:?}");
    }
}
