//! One of a worker's long-lived tasks: take a delivery, run its handler, settle it, take the next.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use pontoon_core::driver::Settled;
use pontoon_core::engine::{Consumer, Delivery};
use pontoon_core::{Attempt, ReasonKind, Result, Source};

use super::policy::{Policies, Policy};
use super::report::Counters;
use super::runner::Runner;
use super::{Action, Failure, Job, Outcome};
use crate::{context, subscription};

/// What the tasks of one channel share.
#[derive(Clone)]
pub(crate) struct Lane {
    pub(crate) consumer: Arc<Consumer>,
    pub(crate) source: Arc<Source>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) counters: Arc<Counters>,
}

/// Handles messages until the consumer is drained.
///
/// # Errors
/// Of the consumer, when it ended for good.
pub(crate) async fn work<R: Runner>(mut runner: R, lane: Lane) -> Result<()> {
    let pristine = runner.clone();
    while let Some(delivery) = lane.consumer.next().await {
        let delivery = delivery?;
        let job = Job::new(&delivery, &lane.source);
        let routed = lane.policies.routed(&job.message);
        // Waiting for a permit is not the handler's time. The semaphore is never closed.
        let _permit = match routed {
            Some(routed) => routed.permits.acquire().await.ok(),
            None => None,
        };
        let attempt = job.attempt;
        let (outcome, intact) = attempt_one(&mut runner, job, &lane).await;
        if !intact {
            // Middleware may keep state between calls: what a panic left of it is not used again.
            runner = pristine.clone();
        }
        settle(delivery, attempt, outcome, routed.map(|routed| &routed.policy), &lane.counters);
    }
    Ok(())
}

/// Runs one handler. Its panic and its timeout are failures of the message; the flag says whether the runner survived.
async fn attempt_one<R: Runner>(runner: &mut R, job: Job, lane: &Lane) -> (Outcome, bool) {
    let timeout = lane.policies.timeout(&job.message);
    let handling = AssertUnwindSafe(context::within(job.message.clone(), runner.run(job))).catch_unwind();
    let ended = match timeout {
        None => handling.await,
        Some(within) => match tokio::time::timeout(within, handling).await {
            Ok(ended) => ended,
            Err(_) => {
                lane.counters.timed_out();
                return (Err(Failure::retry(format!("the handler did not end within {within:?}"))), true);
            }
        },
    };
    match ended {
        Ok(outcome) => (outcome, true),
        Err(panic) => {
            lane.counters.panicked();
            (Err(Failure::retry(format!("the handler panicked: {}", words(&*panic)))), false)
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

fn settle(delivery: Delivery, attempt: Attempt, outcome: Outcome, own: Option<&Policy>, counters: &Counters) {
    let done = outcome.is_ok();
    let released = outcome.as_ref().is_err_and(|failure| failure.action() == Action::Release);
    let settled = match (outcome, own) {
        (Err(failure), Some(policy)) => match failure.action() {
            Action::Retry { after } => fail(delivery, attempt, after, &failure, policy),
            _ => subscription::settle(delivery, Err(failure)),
        },
        (outcome, _) => subscription::settle(delivery, outcome),
    };
    match settled {
        Settled::Stale => counters.stale(),
        Settled::Recorded if done => counters.handled(),
        Settled::Recorded if released => counters.released(),
        // Retries and dead letters are counted by their events, which come when their copies are confirmed.
        Settled::Recorded => {}
    }
}

/// A failed attempt of one of several handlers, by that handler's own policy.
fn fail(
    delivery: Delivery,
    attempt: Attempt,
    after: Option<std::time::Duration>,
    failure: &Failure,
    policy: &Policy,
) -> Settled {
    let error = failure.to_string();
    if attempt.at_least >= policy.retry.max_attempts() {
        return delivery.dead_letter(ReasonKind::MaxAttempts, error);
    }
    let after = after.unwrap_or_else(|| policy.retry.wait(attempt.at_least, fastrand::f64()));
    delivery.retry(Some(after), &error)
}
