//! Redis: one stream and its group, used in turn by hand and by the library.

mod expert;
mod naive;
mod raw;

use bytes::Bytes;

use self::raw::Raw;
use crate::bodies::Check;
use crate::through_pontoon::Library;
use crate::{Failure, Mode, Subject, Times, Took};

/// Publishes everything, or drains what was published before; what one message looks like in the stream.
pub(crate) async fn run(
    subject: Subject,
    mode: Mode,
    url: &str,
    bodies: &[Bytes],
    check: &mut Check,
) -> Result<Times, Failure> {
    let mut raw = Raw::connect(url).await?;
    raw.begin().await?;
    let library = Library::connect(url).await?;
    let mut times = Times::default();
    if mode == Mode::Drain {
        expert::publish(&raw, bodies).await?;
        times.drain = drain(subject, &mut raw, &library, bodies.len(), check).await?;
    } else {
        times.publish = publish(subject, &mut raw, &library, bodies).await?;
        raw.see_all(bodies.len(), check).await?;
        times.wire = raw.first().await?;
    }
    library.close().await?;
    Ok(times)
}

async fn publish(subject: Subject, raw: &mut Raw, library: &Library, bodies: &[Bytes]) -> Result<Took, Failure> {
    match subject {
        Subject::RawNaive => naive::publish(raw, bodies).await,
        Subject::Pontoon => Ok(library.publish(bodies).await?),
        Subject::RawExpert | Subject::RawExpertDeleting => expert::publish(raw, bodies).await,
    }
}

async fn drain(
    subject: Subject,
    raw: &mut Raw,
    library: &Library,
    count: usize,
    check: &mut Check,
) -> Result<Took, Failure> {
    match subject {
        Subject::RawNaive => naive::drain(raw, count, check).await,
        Subject::Pontoon => Ok(library.drain(count, check).await?),
        Subject::RawExpert => expert::drain(raw, count, false, check).await,
        Subject::RawExpertDeleting => expert::drain(raw, count, true, check).await,
    }
}
