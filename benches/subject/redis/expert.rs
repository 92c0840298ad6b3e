//! The best program by hand over the client library: pipelines, the next page while one is worked on, replies as they
//! come, one acknowledgement for a page.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{Pipeline, Value};
use tokio::task::yield_now;

use super::raw::{self, GROUP, Raw, Stamp};
use crate::bodies::Check;
use crate::{Failure, QUEUE, Took, Watch, failure};

/// Messages in one pipeline.
const PIPELINE: usize = 128;
/// Pipelines that are under way at once.
const UNDER_WAY: usize = 4;
/// Entries of one read.
const PAGE: usize = 512;

/// Pipelines, several under way.
pub(super) async fn publish(raw: &Raw, bodies: &[Bytes]) -> Result<Took, Failure> {
    let watch = Watch::start();
    let mut under_way = FuturesUnordered::new();
    for (at, some) in bodies.chunks(PIPELINE).enumerate() {
        if under_way.len() == UNDER_WAY {
            under_way.next().await.transpose()?;
        }
        let (mut stamp, mut pipeline) = (Stamp::now(), Pipeline::with_capacity(some.len()));
        for (number, body) in some.iter().enumerate() {
            let mut add = redis::cmd("XADD");
            stamp.put(at * PIPELINE + number, body, &mut add);
            pipeline.add_command(add);
        }
        let mut to = raw.writes.clone();
        under_way.push(async move { confirmed(&to.send_packed_commands(&pipeline, 0, some.len()).await?) });
    }
    while under_way.next().await.transpose()?.is_some() {}
    Ok(watch.stop())
}

/// Whether every message got the id of its entry.
fn confirmed(replies: &[Value]) -> Result<(), Failure> {
    let all = replies.iter().all(|reply| matches!(reply, Value::BulkString(_)));
    all.then_some(()).ok_or_else(|| failure("a message was not stored"))
}

/// Pages, the next of which is on its way while one is worked on. What is acknowledged stays in the stream, unless it is
/// also to be deleted.
pub(super) async fn drain(raw: &mut Raw, count: usize, delete: bool, check: &mut Check) -> Result<Took, Failure> {
    let watch = Watch::start();
    let Raw { writes, reads } = raw;
    let read = raw::read(PAGE);
    let mut page = reads.send_packed_command(&read).await?;
    let mut left = count;
    while left > 0 {
        let entries = raw::entries(&page);
        left = left.saturating_sub(entries.len().max(1));
        let work = async {
            // The read goes out first.
            yield_now().await;
            let (mut ack, mut gone) = (redis::cmd("XACK"), redis::cmd("XDEL"));
            ack.arg(QUEUE).arg(GROUP);
            gone.arg(QUEUE);
            for entry in entries {
                let (id, body) = raw::id_and_body(entry)?;
                check.see(body);
                ack.arg(id);
                if delete {
                    gone.arg(id);
                }
            }
            if delete {
                let mut both = Pipeline::with_capacity(2);
                both.add_command(ack).add_command(gone);
                writes.send_packed_commands(&both, 0, 2).await?;
            } else {
                writes.send_packed_command(&ack).await?;
            }
            Ok::<_, Failure>(())
        };
        let (next, worked) = tokio::join!(reads.send_packed_command(&read), work);
        worked?;
        page = next?;
    }
    Ok(watch.stop())
}
