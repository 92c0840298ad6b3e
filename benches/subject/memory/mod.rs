//! Within one process: queues by hand, beside the library's.

mod expert;
mod naive;

use bytes::Bytes;

use crate::bodies::Check;
use crate::through_pontoon::Library;
use crate::{Failure, Subject, Times};

/// Publishes everything and drains it.
pub(crate) async fn run(subject: Subject, bodies: &[Bytes], check: &mut Check) -> Result<Times, Failure> {
    Ok(match subject {
        Subject::RawNaive => naive::run(bodies, check).await,
        Subject::Pontoon => {
            let library = Library::connect("memory://").await?;
            let publish = library.publish(bodies).await?;
            let drain = library.drain(bodies.len(), check).await?;
            library.close().await?;
            Times { publish, drain, ..Times::default() }
        }
        _ => expert::run(bodies, check).await,
    })
}
