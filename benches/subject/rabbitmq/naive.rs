//! The loop of an example: every confirmation is waited for, and every acknowledgement.

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;

use super::raw::{self, Raw};
use crate::bodies::Check;
use crate::{Failure, Took, Watch};

/// One message at a time.
pub(super) async fn publish(raw: &Raw, bodies: &[Bytes]) -> Result<Took, Failure> {
    let watch = Watch::start();
    let channel = raw.confirming().await?;
    for (number, body) in bodies.iter().enumerate() {
        raw::publish(&channel, number, body).await?;
    }
    Ok(watch.stop())
}

/// Each delivery is acknowledged before the next.
pub(super) async fn drain(raw: &Raw, count: usize, check: &mut Check) -> Result<Took, Failure> {
    let watch = Watch::start();
    let (channel, mut consumer) = raw.consumer().await?;
    for _ in 0..count {
        let Some(delivery) = consumer.next().await.transpose()? else { break };
        check.see(&delivery.data);
        delivery.ack(BasicAckOptions::default()).await?;
    }
    raw::worked_off(&channel).await?;
    let took = watch.stop();
    channel.close(200, "done".into()).await?;
    Ok(took)
}
