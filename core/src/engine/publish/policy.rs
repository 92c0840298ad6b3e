//! When a message is sent again, and the words of the outcomes that the engine itself decides.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Capabilities, Capability, Delay, Error, ErrorKind, ErrorStatus, Level, Message, Result};

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

/// The error with the status that its outcome implies, whatever the transport's error says by itself.
pub(super) fn as_status(error: Error, status: ErrorStatus) -> Error {
    if error.status() == status { error } else { error.with_status(status) }
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

/// The body is over the profile's limit.
pub(super) fn too_large(len: usize, max: u64, capabilities: &Capabilities) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        "publish",
        format!("a body of {len} bytes is over the {max} that the profile takes"),
    )
    .with("profile", capabilities.profile())
    .with_help("store large bodies elsewhere and send a reference")
}

/// Compares what a single message asks for (delay, TTL, priority) with what the profile does.
pub(super) fn check_asked(
    message: &Message,
    capabilities: &Capabilities,
    volatile: &[Capability],
    wall_ms: u64,
) -> Result<()> {
    let limits = &capabilities.limits;
    if let Some(delay) = message.delay() {
        has(capabilities, volatile, Capability::PublishDelay)?;
        let delay = match delay {
            Delay::For(delay) => delay,
            Delay::Until(then) => since_1970(then).saturating_sub(Duration::from_millis(wall_ms)),
        };
        if let Some(max) = limits.max_delay
            && delay > max
        {
            return Err(beyond(capabilities, "delay", format!("{delay:?}"), format!("{max:?}")));
        }
    }
    if message.ttl().is_some() {
        has(capabilities, volatile, Capability::MessageTtl)?;
    }
    if let Some(priority) = message.priority() {
        has(capabilities, volatile, Capability::Priority)?;
        if let Some(count) = limits.priorities
            && u16::from(priority) >= count
        {
            return Err(beyond(capabilities, "priority", priority.to_string(), count.saturating_sub(1).to_string()));
        }
    }
    Ok(())
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn has(capabilities: &Capabilities, volatile: &[Capability], capability: Capability) -> Result<()> {
    let (level, profile) = (capabilities.level(capability), capabilities.profile());
    if capabilities.has(capability) || (level == Level::Volatile && volatile.contains(&capability)) {
        return Ok(());
    }
    let words = format!("the message asks for `{capability}`, which is {level} on profile {profile}");
    let error = Error::new(ErrorKind::Unsupported, "publish", words);
    let error = error.with("capability", capability).with("profile", profile);
    Err(if level == Level::Volatile {
        error.with_help("where losing it with a restart is acceptable, name it in `PublisherOptions::allow_volatile`")
    } else {
        error
    })
}

fn beyond(capabilities: &Capabilities, limit: &'static str, asked: String, most: String) -> Error {
    let words = format!("the message asks for a {limit} of {asked}, the profile takes at most {most}");
    Error::new(ErrorKind::Unsupported, "publish", words).with("limit", limit).with("profile", capabilities.profile())
}
