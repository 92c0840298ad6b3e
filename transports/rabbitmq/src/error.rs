//! From the client's errors to ours: what kind, whether trying again can help, and what to do next.

use lapin::ErrorKind as Client;
use pontoon_core::{Error, ErrorKind, ErrorStatus};

use crate::tls;

/// What to call the broker in messages.
const BROKER: &str = "RabbitMQ";

/// What an error of the client means for `operation`.
pub(crate) fn of(operation: &'static str, error: lapin::Error) -> Error {
    let found = match error.kind() {
        Client::ProtocolError(refusal) => refused(operation, refusal.get_id(), refusal.get_message().as_str()),
        Client::IOError(io) => tls::refused(operation, io)
            .unwrap_or_else(|| lost(operation, &format!("the connection to {BROKER} failed: {io}"))),
        Client::MissingHeartbeatError => lost(operation, "RabbitMQ has been silent for longer than two heartbeats"),
        Client::AuthProviderError(_) => Error::new(ErrorKind::Permission, operation, "no credentials could be made"),
        Client::SerialisationError(_) => {
            Error::new(ErrorKind::InvalidMessage, operation, "the client cannot write this as AMQP")
        }
        Client::ChannelsLimitReached => Error::new(ErrorKind::Full, operation, "this connection has no channel left")
            .with_help("close publishers or workers, or raise `channel_max` of the broker"),
        _ => lost(operation, "the connection to RabbitMQ is not usable"),
    };
    found.with_source(error)
}

/// What the broker said. It sends a number, and a text that names object and right.
fn refused(operation: &'static str, code: u16, text: &str) -> Error {
    let named = |kind| Error::new(kind, operation, format!("{BROKER} refused: {text}"));
    match code {
        403 if text.contains("Login was refused") => {
            named(ErrorKind::Permission).with_help("check user, password and virtual host")
        }
        403 => named(ErrorKind::Permission)
            .with("right", right(operation, text))
            .with_help("grant this right to the user, or use `existing` for a channel that another program declared"),
        404 if text.contains("no queue") || text.contains("no exchange") => {
            named(ErrorKind::NotFound).with_help("ensure the channel first; opening a publisher or a worker does")
        }
        406 if text.contains("inequivalent arg") => conflict(operation, argument(text), text),
        530 if text.contains("not found") || text.contains("refused") => {
            named(ErrorKind::Permission).with_help("check the virtual host, and that the user may use it")
        }
        // The client's own channel or connection was closed: what was open is lost, and making it anew may help.
        _ => lost(operation, &format!("{BROKER} closed the channel: {text}")),
    }
}

/// Which right is missing. Since 4.0 the broker names it; before, what was asked for tells.
fn right(operation: &'static str, text: &str) -> &'static str {
    let named = ["configure", "write", "read"].into_iter().find(|right| text.contains(&format!("{right} access")));
    named.unwrap_or(match operation {
        "ensure channel" => "configure",
        "publish" => "write",
        "open consumer" | "receive" | "purge" => "read",
        _ => "access",
    })
}

/// The argument that differs.
fn argument(text: &str) -> &str {
    text.split('\'').nth(1).unwrap_or("arguments")
}

fn conflict(operation: &'static str, argument: &str, text: &str) -> Error {
    let field = match argument {
        "x-dead-letter-exchange" | "x-dead-letter-routing-key" | "x-dead-letter-strategy" => "dead_letter",
        "x-delivery-limit" => "delivery_ceiling",
        "x-message-ttl" => "retention",
        "x-single-active-consumer" => "order",
        other => other,
    };
    Error::new(ErrorKind::Conflict, operation, format!("{BROKER} holds it with another {field}: {text}"))
        .with("field", field)
        .with_help("declare the channel from one value everywhere, or use `existing`")
}

/// The broker holds a channel of this name with another fact.
pub(crate) fn differs(name: &str, field: &'static str, held: &str, asked: &str) -> Error {
    let words = format!("{BROKER} holds this channel with {field} = {held}, and {field} = {asked} is asked for");
    Error::new(ErrorKind::Conflict, "ensure channel", words)
        .with("channel", name)
        .with("field", field)
        .with("held", held)
        .with("asked", asked)
        .with_help("declare the channel from one value everywhere; to change it, drain it and delete its parts")
}

/// The connection or channel is gone; what was under way may or may not have happened.
pub(crate) fn lost(operation: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::Connection, operation, what)
}

/// What ends a generation. That a queue or an exchange went away is no reason to give up: opening declares it anew.
pub(crate) fn ended(operation: &'static str, cause: lapin::Error) -> Error {
    let error = of(operation, cause);
    if error.kind() == ErrorKind::NotFound { lost(operation, error.message()).with_source(error) } else { error }
}

/// The same where nothing was under way.
pub(crate) fn not_reached(operation: &'static str, error: Error) -> Error {
    match error.status() {
        ErrorStatus::Unknown => error.with_status(ErrorStatus::Temporary).with("operation", operation),
        _ => error,
    }
}

/// The body is over what the broker takes.
pub(crate) fn too_large(channel: &str, bytes: usize, limit: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "publish", format!("the body has {bytes} bytes, at most {limit} are taken"))
        .with("channel", channel)
        .with_help("send a reference instead, or raise `max_message_size` of the broker and `max_body` here")
}

/// The handle was closed here.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this connection to RabbitMQ was closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_broker_says_becomes_a_kind_with_the_next_step() {
        let denied = "ACCESS_REFUSED - configure access to queue 'q' in vhost '/' refused for user 'u'";
        let error = refused("ensure channel", 403, denied);
        assert_eq!((error.kind(), error.context("right")), (ErrorKind::Permission, Some("configure")));
        let unnamed = "ACCESS_REFUSED - access to queue 'q' in vhost '/' refused for user 'u'";
        assert_eq!(refused("open consumer", 403, unnamed).context("right"), Some("read"));
        assert_eq!(refused("publish", 403, unnamed).context("right"), Some("write"));
        let other = "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received \
                     '5' but current is '3'";
        let error = refused("ensure channel", 406, other);
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::Conflict, Some("delivery_ceiling")));
        assert_eq!(refused("x", 404, "NOT_FOUND - no queue 'q' in vhost '/'").kind(), ErrorKind::NotFound);
        // A queue without a leader comes back: nothing permanent.
        let waits = refused("x", 404, "NOT_FOUND - queue 'q' in vhost '/' process is stopped by supervisor");
        assert_ne!(waits.status(), ErrorStatus::Permanent);
        assert_ne!(refused("x", 406, "PRECONDITION_FAILED - unknown delivery tag 9").status(), ErrorStatus::Permanent);
    }
}
