//! The consuming half: a receiver and a settler, each with a connection of its own, since a read blocks its.

mod leases;
mod look;
mod member;
mod members;
mod receiver;
mod settler;
mod shared;
mod streams;

use std::sync::Arc;

use pontoon_core::Result;
use pontoon_core::driver::OpenConsumer;

pub use receiver::RedisReceiver;
pub use settler::RedisSettler;

pub(crate) use member::Reading;
pub(crate) use members::Members;

use crate::RedisConfig;
use crate::link::Link;
use crate::resp::{Value, command};
use crate::scripts::JOIN;
use crate::socket::Socket;
use member::Member;
use shared::Shared;

/// Opens both halves.
///
/// # Errors
/// Of the connection, and what the server refuses.
pub(crate) async fn open(
    how: &OpenConsumer,
    config: &RedisConfig,
    members: &Members,
    link: Arc<Link>,
    mut reads: Socket,
    mut settles: Socket,
) -> Result<(RedisReceiver, RedisSettler)> {
    let reading = Reading::of(&how.source, config);
    members.bury(&reading, &mut settles).await?;
    let member = members.join(reading, how.generation);
    let now = join(&member, &mut reads).await?;
    let shared = Shared::new(member, link);
    let receiver = RedisReceiver::new(shared.clone(), reads, how, config, now);
    Ok((receiver, RedisSettler::new(shared, settles)))
}

/// Gets the lease of a consumer of an unordered channel, which lasts as long as somebody extends it; an ordered channel's
/// belongs to its streams. Gives the server's time in milliseconds.
async fn join(member: &Member, socket: &mut Socket) -> Result<u64> {
    let reading = &member.reading;
    let lease = reading.lease.as_millis().to_string();
    if reading.ordered {
        command(socket.out(), &[b"TIME"]);
    } else {
        JOIN.call(socket.out(), &[&reading.lease_key(0, &member.name)], &[member.name.as_bytes(), lease.as_bytes()]);
    }
    let told = socket.answer("open consumer").await?;
    let number = |value: &Value| value.int().unwrap_or_default().unsigned_abs();
    Ok(match told.list() {
        [seconds, micros] => number(seconds) * 1_000 + number(micros) / 1_000,
        _ => number(&told),
    })
}
