//! Declaring: what is compared and what is made.

use pontoon_core::driver::Ensure;
use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Error, ErrorKind, Result, Start, Subscription};

use crate::RedisConfig;
use crate::error;
use crate::facts;
use crate::keys::Keys;
use crate::resp::{Value, command};
use crate::scripts::{ENSURE, ENSURE_DEAD};
use crate::server::Server;
use crate::socket::Socket;

const OPERATION: &str = "ensure channel";

/// Declares a channel with its subscriptions and its dead-letter channel, or looks for an existing one.
///
/// # Errors
/// `Conflict` naming the differing field, `Permission`, `NotFound` for what exists not, and those of the connection.
pub(crate) async fn ensure(what: &Ensure, config: &RedisConfig, server: &Server, socket: &mut Socket) -> Result<()> {
    let channel = &what.channel;
    channel.validate()?;
    if let Some(policy) = &server.evicts {
        let words = "the server removes keys when its memory is full, and unread messages with them";
        return Err(Error::new(ErrorKind::Conflict, OPERATION, words)
            .with("field", "retention")
            .with("maxmemory-policy", policy)
            .with_help("set `maxmemory-policy noeviction`"));
    }
    if channel.existing {
        return look_for(what, config, socket).await;
    }
    // The target first: whoever finds the channel finds where its dead letters go.
    if let DeadLetterPolicy::To(_) = &channel.dead_letter
        && let Some(target) = channel.dead_letter_channel()
    {
        let keys = Keys::of(target.name.as_str());
        let facts = facts::of(&target);
        let mut arguments = vec![config.group.as_bytes()];
        arguments.extend(facts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        ENSURE_DEAD.call(socket.out(), &[&keys.facts(), &keys.stream], &arguments);
        agreed(&target, &socket.answer(OPERATION).await.map_err(|error| named(error, &target))?)?;
    }
    declare(channel, &what.subscriptions, config, socket).await
}

async fn declare(
    channel: &Channel,
    subscriptions: &[Subscription],
    config: &RedisConfig,
    socket: &mut Socket,
) -> Result<()> {
    let name = channel.name.as_str();
    let shards = facts::shards(channel);
    let mut keys = vec![Keys::of(name).facts()];
    keys.extend((0..shards).map(|shard| Keys::of_shard(name, shard, shards).stream));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (facts, count) = (facts::of(channel), facts::COUNT.to_string());
    let implied: &[u8] = if facts::are_implied(channel) { b"1" } else { b"0" };
    let mut arguments = vec![implied, count.as_bytes()];
    arguments.extend(facts.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
    match channel.kind {
        ChannelKind::Queue => arguments.extend([config.group.as_bytes(), b"0"]),
        ChannelKind::Topic => {
            for Subscription { name, start } in subscriptions {
                let from: &[u8] = match start {
                    Start::Latest => b"$",
                    Start::Earliest => b"0",
                };
                arguments.extend([name.as_str().as_bytes(), from]);
            }
        }
    }
    ENSURE.call(socket.out(), &keys, &arguments);
    agreed(channel, &socket.answer(OPERATION).await.map_err(|error| named(error, channel))?)
}

fn named(error: Error, channel: &Channel) -> Error {
    error.with("channel", channel.name.as_str())
}

/// The server answers with the field that differs, what it holds and what was asked for, or with nothing.
fn agreed(channel: &Channel, told: &Value) -> Result<()> {
    match told.list() {
        [field, held, asked] => Err(error::differs(channel.name.as_str(), &field.text(), &held.text(), &asked.text())),
        _ => Ok(()),
    }
}

/// Looks for a stream and its groups that another program made; makes nothing.
async fn look_for(what: &Ensure, config: &RedisConfig, socket: &mut Socket) -> Result<()> {
    let channel = &what.channel;
    let name = channel.name.as_str();
    let shards = facts::shards(channel);
    for shard in 0..shards {
        let stream = Keys::of_shard(name, shard, shards).stream;
        command(socket.out(), &[b"TYPE", stream.as_bytes()]);
        match socket.answer(OPERATION).await?.text().as_str() {
            "stream" => {}
            "none" => return Err(error::no_such_channel(OPERATION, name)),
            other => return Err(error::differs(name, "type of key", other, "stream")),
        }
        command(socket.out(), &[b"XINFO", b"GROUPS", stream.as_bytes()]);
        let groups = socket.answer(OPERATION).await?;
        let there =
            |group: &str| groups.list().iter().any(|found| found.list().get(1).is_some_and(|n| n.text() == group));
        let wanted: Vec<&str> = match channel.kind {
            ChannelKind::Queue => vec![&config.group],
            ChannelKind::Topic => what.subscriptions.iter().map(|subscription| subscription.name.as_str()).collect(),
        };
        if let Some(group) = wanted.into_iter().find(|group| !there(group)) {
            return Err(error::no_such_group(OPERATION, name, group));
        }
    }
    Ok(())
}
