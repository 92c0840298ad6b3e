//! When a message is sent again, and the words of the outcomes that the engine itself decides.

use std::time::Duration;

use crate::{Error, ErrorKind, ErrorStatus};

const FIRST_RESEND: Duration = Duration::from_millis(20);
const LONGEST_RESEND: Duration = Duration::from_secs(2);

/// How long a message waits after this many failed attempts: doubling, half of it random.
pub(super) fn resend_wait(tries: u32, random: &mut fastrand::Rng) -> Duration {
    let bound = FIRST_RESEND.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(LONGEST_RESEND);
    bound.mul_f64(0.5 + 0.5 * random.f64())
}

/// How much longer than its deadline the engine waits for a client that resends by itself: it was given the same
/// deadline, and its own answer is worth more than ours.
pub(super) fn grace(deliver_within: Duration) -> Duration {
    (deliver_within / 4).clamp(Duration::from_millis(500), Duration::from_secs(5))
}

/// The deadline passed before the message was ever sent.
pub(super) fn never_sent(link: Option<&Error>) -> Error {
    let error = Error::new(ErrorKind::Timeout, "publish", "the deadline passed before it could be sent")
        .with_status(ErrorStatus::Temporary);
    match link {
        Some(cause) => error.with("connection", cause.message()).with_source(cause.clone()),
        None => error,
    }
}

/// The deadline passed while it waited for room.
pub(super) fn no_room() -> Error {
    Error::new(ErrorKind::Full, "publish", "the deadline passed while the publisher's bounds left no room")
        .with_help("the broker takes less than is published; wait for outcomes, or raise `max_messages`/`max_bytes`")
}

/// The producer did not answer.
pub(super) fn no_answer() -> Error {
    Error::new(ErrorKind::Timeout, "publish", "no outcome came before the deadline")
}

/// The producer leaves messages without an outcome for too long.
pub(super) fn stuck() -> Error {
    Error::new(ErrorKind::Timeout, "publish", "the connection answers nothing: it is given up")
}

/// The publisher is closed.
pub(super) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "publish", "the publisher is closed")
}

/// Closing left no time.
pub(super) fn closing() -> Error {
    Error::new(ErrorKind::Closed, "publish", "the publisher was closed before the message had its outcome")
}

/// A later message of the key was stored, although the profile says that this cannot be.
pub(super) fn overtaken(cause: &Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        "publish",
        "a later message of its key was stored first: sending it now would break the key's order",
    )
    .with_status(ErrorStatus::Temporary)
    .with_source(cause.clone())
}
