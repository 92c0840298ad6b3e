//! RabbitMQ: one quorum queue, used in turn by hand and by the library.

mod expert;
mod naive;
mod raw;

use bytes::Bytes;

use self::raw::Raw;
use crate::bodies::Check;
use crate::through_pontoon::Library;
use crate::{Failure, Mode, Subject, Times};

/// Publishes everything, or drains what was published before; what one message looks like in the queue.
pub(crate) async fn run(
    subject: Subject,
    mode: Mode,
    url: &str,
    bodies: &[Bytes],
    check: &mut Check,
) -> Result<Times, Failure> {
    let library = Library::connect(url).await?;
    library.declare().await?;
    let raw = Raw::connect(url).await?;
    raw.begin().await?;
    let mut times = Times::default();
    if mode == Mode::Drain {
        expert::publish(&raw, bodies).await?;
        times.drain = match subject {
            Subject::RawNaive => naive::drain(&raw, bodies.len(), check).await?,
            Subject::Pontoon => library.drain(bodies.len(), check).await?,
            _ => expert::drain(&raw, bodies.len(), check).await?,
        };
    } else {
        times.publish = match subject {
            Subject::RawNaive => naive::publish(&raw, bodies).await?,
            Subject::Pontoon => library.publish(bodies).await?,
            _ => expert::publish(&raw, bodies).await?,
        };
        times.wire = raw.first(check).await?;
        expert::drain(&raw, bodies.len() - 1, check).await?;
    }
    library.close().await?;
    raw.close().await?;
    Ok(times)
}
