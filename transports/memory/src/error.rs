//! The errors of this transport, each with what to do next.

use pontoon_core::{Error, ErrorKind, ErrorStatus, Source};

pub(crate) fn no_such_channel(operation: &'static str, name: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "the memory server holds no such channel")
        .with("channel", name)
        .with_help("ensure it first; opening a publisher or a worker does")
}

pub(crate) fn no_such_source(operation: &'static str, source: &Source) -> Error {
    match &source.subscription {
        None => no_such_channel(operation, source.channel.name.as_str()),
        Some(subscription) => {
            Error::new(ErrorKind::NotFound, operation, "the memory server holds no such subscription")
                .with("channel", source.channel.name.as_str())
                .with("subscription", subscription.name.as_str())
                .with_help("ensure the topic together with its subscription; opening a worker does")
        }
    }
}

pub(crate) fn differs(name: &str, field: &'static str, held: impl ToString, asked: impl ToString) -> Error {
    let (held, asked) = (held.to_string(), asked.to_string());
    Error::new(
        ErrorKind::Conflict,
        "ensure channel",
        format!("the memory server holds this channel with {field} = {held}, and {field} = {asked} is asked for"),
    )
    .with("channel", name)
    .with("field", field)
    .with("held", held)
    .with("asked", asked)
    .with_help("declare the channel from one value everywhere")
}

pub(crate) fn too_large(channel: &str, bytes: usize, limit: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "publish", format!("the body has {bytes} bytes, at most {limit} are allowed"))
        .with("channel", channel)
        .with_help("send a reference to the data instead, or raise `max_body`")
}

pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this connection to the memory server was closed")
}

pub(crate) fn connection_lost(operation: &'static str) -> Error {
    Error::new(ErrorKind::Connection, operation, "the connection to the memory server was lost")
        .with_status(ErrorStatus::Temporary)
}

pub(crate) fn confirm_lost() -> Error {
    Error::new(ErrorKind::Connection, "publish", "the confirmation was lost: a fault that was asked for")
}

pub(crate) fn dead_letters_refused(channel: &str) -> Error {
    Error::new(ErrorKind::Full, "publish", "the dead-letter channel takes nothing now: a fault that was asked for")
        .with("channel", channel)
}

pub(crate) fn settlement_failed() -> Error {
    Error::new(ErrorKind::Connection, "settle", "the settlement was not done: a fault that was asked for")
        .with_status(ErrorStatus::Temporary)
}
