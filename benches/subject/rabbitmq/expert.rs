//! The best program by hand over the client library: a window of publishes whose confirmations are taken in order by one
//! task, and one acknowledgement for many deliveries.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::options::BasicAckOptions;

use super::raw::{self, Raw};
use crate::bodies::Check;
use crate::{Failure, Took, Watch};

/// Publishes that are unconfirmed at once.
const WINDOW: usize = 512;
/// Deliveries of one acknowledgement.
const TOGETHER: usize = 64;

type Publish<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>>;

/// A window of publishes.
pub(super) async fn publish(raw: &Raw, bodies: &[Bytes]) -> Result<Took, Failure> {
    let watch = Watch::start();
    let channel = raw.confirming().await?;
    let mut window: VecDeque<Publish<'_>> = VecDeque::with_capacity(WINDOW);
    for (number, body) in bodies.iter().enumerate() {
        if window.len() == WINDOW
            && let Some(oldest) = window.pop_front()
        {
            oldest.await?;
        }
        let mut publish: Publish<'_> = Box::pin(raw::publish(&channel, number, body));
        // The first look sends; it is looked at again when it is the oldest.
        match publish.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done?,
            Poll::Pending => window.push_back(publish),
        }
    }
    for publish in window {
        publish.await?;
    }
    let took = watch.stop();
    channel.close(200, "done".into()).await?;
    Ok(took)
}

/// Deliveries as they come, many of them acknowledged at once.
pub(super) async fn drain(raw: &Raw, count: usize, check: &mut Check) -> Result<Took, Failure> {
    let watch = Watch::start();
    let (channel, mut consumer) = raw.consumer().await?;
    for number in 1..=count {
        let Some(delivery) = consumer.next().await.transpose()? else { break };
        check.see(&delivery.data);
        if number % TOGETHER == 0 || number == count {
            channel.basic_ack(delivery.delivery_tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    raw::worked_off(&channel).await?;
    let took = watch.stop();
    channel.close(200, "done".into()).await?;
    Ok(took)
}
