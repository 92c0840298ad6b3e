//! The loop of an example: every command is waited for.

use bytes::Bytes;

use super::raw::{self, GROUP, Raw, Stamp};
use crate::bodies::Check;
use crate::{Failure, QUEUE, Took, Watch};

/// One message at a time.
pub(super) async fn publish(raw: &mut Raw, bodies: &[Bytes]) -> Result<Took, Failure> {
    let watch = Watch::start();
    for (number, body) in bodies.iter().enumerate() {
        let mut add = redis::cmd("XADD");
        Stamp::now().put(number, body, &mut add);
        let _: String = add.query_async(&mut raw.writes).await?;
    }
    Ok(watch.stop())
}

/// One message at a time, each acknowledged before the next.
pub(super) async fn drain(raw: &mut Raw, count: usize, check: &mut Check) -> Result<Took, Failure> {
    let watch = Watch::start();
    for _ in 0..count {
        let reply = raw.reads.send_packed_command(&raw::read(1)).await?;
        for entry in raw::entries(&reply) {
            let (id, body) = raw::id_and_body(entry)?;
            check.see(body);
            let mut ack = redis::cmd("XACK");
            ack.arg(QUEUE).arg(GROUP).arg(id);
            ack.exec_async(&mut raw.writes).await?;
        }
    }
    Ok(watch.stop())
}
