//! The consuming half. Each queue is read on a channel of its own: of an ordered channel with several shards, members
//! each read some, and give them up one by one.

mod crew;
mod member;
mod plan;
mod reading;
mod receiver;
mod roll;
mod settler;
mod shared;

use std::sync::Arc;

use pontoon_core::Result;
use pontoon_core::driver::OpenConsumer;

pub use receiver::RabbitReceiver;
pub use settler::RabbitSettler;

pub(crate) use crew::Seats;

use crate::connection::Connections;
use crate::{error, names};
use crew::Crew;
use reading::Reading;
use shared::{LOST, Readings, Shared};

/// Opens both halves.
///
/// # Errors
/// `NotFound`, `Permission`, or that of the connection.
pub(crate) async fn open(
    connections: &Arc<Connections>,
    how: &OpenConsumer,
) -> Result<(RabbitReceiver, RabbitSettler)> {
    let (source, shards) = (&how.source, names::shards(&how.source.channel));
    // The broker bounds each consumer, and each shard has one.
    let prefetch = u16::try_from(how.prefetch.div_ceil(shards.into())).unwrap_or(u16::MAX);
    let readings = Readings::default();
    let mut streams = Vec::with_capacity(shards.into());
    for shard in 0..shards {
        let (reading, deliveries) = Reading::open(connections, source, shard, shard.into(), prefetch).await?;
        let reading = Arc::new(reading);
        readings.lock().push(reading.clone());
        streams.push((reading, deliveries));
    }
    let lost = || error::not_reached("open consumer", error::lost("open consumer", LOST));
    let live = streams.first().map(|(reading, _)| reading.line.live.clone()).ok_or_else(lost)?;
    if streams.iter().any(|(reading, _)| !Arc::ptr_eq(&reading.line.live, &live)) {
        return Err(lost());
    }
    let (crew, news) = match shards {
        1 => (None, None),
        _ => Crew::join(connections, source, prefetch, &live, &readings).await?.unzip(),
    };
    let shared = Arc::new(Shared {
        live,
        connections: connections.clone(),
        generation: how.generation,
        prefetch,
        // Ours are quorum queues, which count. What another program declared may be of any type.
        counts: !source.channel.existing,
        ordered: source.channel.order.is_ordered(),
        readings,
        crew,
    });
    let receiver = RabbitReceiver::new(shared.clone(), streams, news);
    Ok((receiver, RabbitSettler::new(shared)))
}
