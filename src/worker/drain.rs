//! How a worker stops: everything at once, by one deadline.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use pontoon_core::Result;
use pontoon_core::engine::Consumer;
use tokio::task::JoinSet;

use super::report::WorkerReport;

/// How long a worker may take to stop, unless said otherwise.
pub(crate) const DEFAULT_DRAIN: Duration = Duration::from_secs(30);

/// How long tasks may take to notice that their consumer is drained. They have nothing left to wait for, so this is
/// only reached by a handler that blocks its thread; its message is abandoned by then.
const NOTICE: Duration = Duration::from_millis(500);

/// Drains every consumer, while the tasks go on settling what they handle; then gives up what still runs.
pub(crate) async fn drain(
    consumers: &[Arc<Consumer>],
    tasks: &mut JoinSet<Result<()>>,
    within: Duration,
    report: &mut WorkerReport,
) {
    let drained = join_all(consumers.iter().map(|consumer| consumer.drain(within))).await;
    for one in drained {
        report.add(one);
    }
    if !report.abandoned.is_empty() {
        tasks.abort_all();
    }
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(NOTICE, ended).await.is_err() {
        tasks.abort_all();
    }
}
