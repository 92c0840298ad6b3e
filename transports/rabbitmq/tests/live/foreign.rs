//! Other programs at the same broker: a Python program with pika, and `rabbitmqadmin`.

use std::time::Duration;

use super::common::{BROKERS, Consumer, connect, declare, name, publish, python, queue, told};
use pontoon_core::driver::{AnyTransport, Disposition, Ensure, Incoming, Settled, Transport};
use pontoon_core::{Channel, ChannelKind, HeaderValue, Message};

const LATE: Duration = Duration::from_secs(15);

fn pika(url: &str, what: &str, name: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/foreign.py");
    python(&[script, url.rsplit_once(':').unwrap().1, what, name])
}

async fn one(transport: &AnyTransport, channel: &Channel) -> Incoming {
    let mut reader = Consumer::of(transport, channel).await;
    let incoming = reader.take(1, LATE).await.unwrap().remove(0);
    assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
    assert!(reader.flush().await.is_empty());
    reader.close().await;
    incoming
}

#[tokio::test]
async fn a_message_of_pika_is_understood_and_goes_on_as_it_came() {
    for broker in BROKERS {
        let url = told(&format!("{broker}_URL"));
        let topic = name("pika");
        pika(&url, "declare", &topic);
        let transport = connect(&url).await;
        // Exchange, queue and binding are another program's: nothing is declared here.
        let exchange = Channel::existing(topic.as_str(), ChannelKind::Topic).unwrap();
        let read = Channel::existing(format!("{topic}.read"), ChannelKind::Queue).unwrap();
        for channel in [&exchange, &read] {
            transport.ensure(&Ensure::new(channel.clone())).await.unwrap();
        }
        pika(&url, "send", &topic);
        let incoming = one(&transport, &read).await;
        let message = &incoming.message;
        assert!(incoming.undecodable.is_none(), "{:?}", incoming.undecodable);
        assert_eq!(&message.body[..], br#"{"id":1}"#);
        assert_eq!((message.id.to_string().as_str(), &*message.type_name), ("from-pika", "order.placed"));
        assert_eq!((&*message.content_type, message.timestamp_ms), ("application/json", 1_700_000_000_000));
        let words = (message.correlation().map(|text| &**text), message.reply_to().map(|text| &**text));
        assert_eq!(words, (Some("c-1"), Some("answers")));
        let header = |name: &str| message.headers.get(name).cloned();
        assert_eq!(header("text"), Some(HeaderValue::from("grüße")));
        assert_eq!(header("number"), Some(HeaderValue::from(7_i64)));
        assert_eq!(header("large"), Some(HeaderValue::from(1_i64 << 40)));
        assert_eq!(header("truth"), Some(HeaderValue::from(true)));
        for native in ["price", "list", "table", "when", "nothing"] {
            assert!(header(native).is_some(), "{native} is kept");
        }

        // Published on by us, pika finds the same values, those of AMQP's own types among them.
        let back = queue("to-pika");
        declare(&transport, &back, &[]).await;
        assert!(publish(&transport, &back, vec![message.clone()]).await[0].is_confirmed());
        let found = pika(&url, "receive", back.name.as_str());
        for part in [
            r#""message_id": "from-pika""#,
            r#""type": "order.placed""#,
            r#""content_type": "application/json""#,
            r#""correlation_id": "c-1""#,
            r#""reply_to": "answers""#,
            r#""timestamp": 1700000000"#,
            r#""delivery_mode": 2"#,
            r#""number": "7""#,
            r#""large": "1099511627776""#,
            r#""truth": "True""#,
            r#""price": "1.25""#,
            r#""list": "[1, 'two']""#,
            r#""table": "{'inner': 1}""#,
            r#""when": "2023-11-14"#,
            r#""nothing": "None""#,
            r#""body": "{\"id\":1}""#,
        ] {
            assert!(found.contains(part), "{part} is not in {found}");
        }

        // Through an exchange of theirs the key is the routing key.
        let ours = Message::new("ours").with_id("ours").with_key("order.cancelled");
        assert!(publish(&transport, &exchange, vec![ours]).await[0].is_confirmed());
        let found = pika(&url, "receive", read.name.as_str());
        assert!(found.contains(r#""key": "order.cancelled""#) && found.contains(r#""body": "ours""#), "{found}");
        transport.close().await.unwrap();
    }
}

#[tokio::test]
async fn rabbitmqadmin_publishes_and_gets() {
    for broker in BROKERS {
        let (url, http) = (told(&format!("{broker}_URL")), told(&format!("{broker}_HTTP_URL")));
        // The broker itself hands out the program.
        let port = http.rsplit_once(':').unwrap().1;
        let program = std::env::temp_dir().join(name("rabbitmqadmin"));
        let fetch = "import sys, urllib.request as r; r.urlretrieve(sys.argv[1], sys.argv[2])";
        let from = format!("http://127.0.0.1:{port}/cli/rabbitmqadmin");
        python(&["-c", fetch, &from, program.to_str().unwrap()]);
        let admin = |arguments: &[&str]| {
            let all = [&[program.to_str().unwrap(), "-P", port, "-H", "127.0.0.1"], arguments].concat();
            python(&all)
        };

        let transport = connect(&url).await;
        let channel = queue("admin");
        declare(&transport, &channel, &[]).await;
        let key = format!("routing_key={}", channel.name);
        let properties = r#"properties={"message_id":"by-hand","headers":{"size":3}}"#;
        admin(&["publish", "exchange=amq.default", &key, "payload=from admin", properties]);
        let incoming = one(&transport, &channel).await;
        assert_eq!(&incoming.message.body[..], b"from admin");
        assert_eq!(incoming.message.id.to_string(), "by-hand");
        assert_eq!(incoming.message.headers.get("size").cloned(), Some(HeaderValue::from(3_i64)));

        assert!(publish(&transport, &channel, vec![Message::new("to admin").with_id("ours")]).await[0].is_confirmed());
        let queue = format!("queue={}", channel.name);
        let found = admin(&["--format=raw_json", "get", &queue, "ackmode=ack_requeue_false"]);
        assert!(found.contains("to admin") && found.contains(r#""message_id":"ours""#), "{found}");
        std::fs::remove_file(program).unwrap();
        transport.close().await.unwrap();
    }
}
