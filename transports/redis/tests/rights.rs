//! Users with few rights, wrong passwords and numbered databases, on both servers.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{Consumer, Other, connect, declare, messages, publish, urls};
use pontoon_core::driver::{AnyTransport, Disposition, Ensure, Settled, Transport};
use pontoon_core::{Capability, Channel, DeadLetterPolicy, Error, ErrorKind, ErrorStatus, PublishOutcome, Rejection};
use pontoon_redis::{RedisConfig, RedisTransport};

const LATE: Duration = Duration::from_secs(5);
const PASSWORD: &str = "open-sesame";

/// A user of this server, gone with this value.
struct User {
    admin: Other,
    name: String,
    url: String,
}

impl User {
    fn with(url: &str, rights: &[&str]) -> Self {
        let (mut admin, name) = (Other::at(url), common::name("user"));
        let mut words = vec!["ACL", "SETUSER", &name, "on", ">open-sesame"];
        words.extend(rights);
        assert_eq!(admin.ask(&words), "OK");
        let url = url.replace("redis://", &format!("redis://{name}:{PASSWORD}@"));
        User { admin, name, url }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.admin.ask(&["ACL", "DELUSER", &self.name]);
    }
}

fn queue(prefix: &str) -> Channel {
    let mut channel = Channel::queue(common::name(prefix)).unwrap();
    channel.dead_letter = DeadLetterPolicy::Discard;
    channel
}

/// The rights that the transport says it needs.
const FEW: &[&str] = &["~app-*", "~{app-*}--*", "+@all", "-@dangerous", "-@admin", "+info"];

#[tokio::test]
async fn few_rights_are_enough_for_the_keys_they_are_for() {
    for url in urls() {
        let user = User::with(&url, FEW);
        let transport = connect(&user.url, "").await;
        for order in [pontoon_core::Order::Unordered, pontoon_core::Order::FallBehind] {
            let mut channel = queue("app-rights");
            channel.order = order;
            declare(&transport, &channel, &[]).await;
            let level = transport.capabilities(&channel).level(Capability::SurvivesPowerLoss);
            assert_eq!(level, pontoon_core::Level::Absent, "what cannot be asked is not claimed");
            assert!(publish(&transport, &channel, messages(["a".to_owned()])).await[0].is_confirmed());
            let mut reader = Consumer::of(&transport, &channel).await;
            let incoming = reader.take(1, LATE).await.unwrap().remove(0);
            assert_eq!(reader.settle(incoming.token, Disposition::Ack), Settled::Recorded);
            assert!(reader.flush().await.is_empty());
            reader.close().await;
        }
        let refused = transport.ensure(&Ensure::new(queue("other"))).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Permission, "{refused:?}");
        assert!(refused.to_string().contains("NOPERM") && refused.help().is_some(), "{refused}");
    }
}

#[tokio::test]
async fn a_publish_without_the_right_is_refused() {
    for url in urls() {
        let channel = queue("app-mute");
        declare(&connect(&url, "").await, &channel, &[]).await;
        let user = User::with(&url, &[FEW, &["-xadd"]].concat());
        let outcome = publish(&connect(&user.url, "").await, &channel, messages(["a".to_owned()])).await.remove(0);
        let PublishOutcome::Rejected(Rejection::Refused(error)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(error.kind(), ErrorKind::Permission);
        assert!(error.to_string().contains("xadd"), "the right is named: {error}");
        assert_eq!(Other::at(&url).ask(&["XLEN", channel.name.as_str()]), "0");
    }
}

async fn refused(url: &str) -> Error {
    RedisTransport::connect(RedisConfig::from_url(url).unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn credentials_that_are_wrong_or_revoked_end_for_good_and_are_never_shown() {
    for url in urls() {
        let user = User::with(&url, FEW);
        let wrong = refused(&user.url.replace(PASSWORD, "hunter2")).await;
        assert_eq!((wrong.kind(), wrong.status()), (ErrorKind::Permission, ErrorStatus::Permanent), "{wrong:?}");
        assert!(!format!("{wrong:?} {wrong}").contains("hunter2"));

        let channel = queue("app-revoked");
        let transport: AnyTransport = connect(&user.url, "").await;
        declare(&transport, &channel, &[]).await;
        let mut reader = Consumer::of(&transport, &channel).await;
        assert!(reader.take(1, Duration::from_millis(200)).await.unwrap().is_empty());
        drop(user);
        assert!(reader.take(1, LATE).await.is_err(), "its connections are gone with the user");
        let again = transport.ensure(&Ensure::new(channel)).await.unwrap_err();
        assert_eq!((again.kind(), again.status()), (ErrorKind::Permission, ErrorStatus::Permanent), "{again:?}");
        assert!(!format!("{again:?}").contains(PASSWORD));
    }
}

#[tokio::test]
async fn databases_are_apart() {
    for url in urls() {
        let channel = queue("database");
        let (zero, seven) = (connect(&url, "db=0").await, connect(&format!("{url}/7"), "").await);
        for transport in [&zero, &seven] {
            declare(transport, &channel, &[]).await;
        }
        assert!(publish(&seven, &channel, messages(["a".to_owned()])).await[0].is_confirmed());
        let mut at_zero = Consumer::of(&zero, &channel).await;
        assert!(at_zero.take(1, Duration::from_millis(300)).await.unwrap().is_empty());
        let mut at_seven = Consumer::of(&seven, &channel).await;
        let incoming = at_seven.take(1, LATE).await.unwrap().remove(0);
        assert_eq!(at_seven.settle(incoming.token, Disposition::Ack), Settled::Recorded);
        assert!(at_seven.flush().await.is_empty());
    }
}
