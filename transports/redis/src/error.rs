//! The errors of this transport: what a server's words mean, and what to do next.

use pontoon_core::{Error, ErrorKind, ErrorStatus};

use crate::resp::Malformed;

/// A Redis error is a code word and a text.
fn code(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

/// Whether the server said that it did nothing and may do it later.
pub(crate) fn is_try_again(text: &str) -> bool {
    matches!(
        code(text),
        "OOM" | "MISCONF" | "READONLY" | "NOREPLICAS" | "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN"
    )
}

/// Whether the stream or its group is gone: declaring it again brings it back.
pub(crate) fn is_gone(text: &str) -> bool {
    matches!(code(text), "NOGROUP" | "UNBLOCKED") || text.contains("NOGROUP") || text.contains("no such key")
}

/// The error that a server answered with. What it repeats of a command is left out: it might hold a password.
pub(crate) fn answered(operation: &'static str, text: &str) -> Error {
    let shown: String = text.split(" with args").next().unwrap_or_default().chars().take(300).collect();
    let error = |kind| Error::new(kind, operation, format!("the server answered: {shown}"));
    match code(text) {
        "NOPERM" => error(ErrorKind::Permission)
            .with_help("give this user the right to the command and to the keys of the channel, see `ACL SETUSER`"),
        "WRONGPASS" | "NOAUTH" => error(ErrorKind::Permission).with_help("correct user and password of the URL"),
        "WRONGTYPE" => error(ErrorKind::Conflict).with_help("another program uses this key: choose another name"),
        "OOM" => error(ErrorKind::Full).with_help("raise `maxmemory`, or handle what is stored"),
        "READONLY" => error(ErrorKind::Full).with_help("connect to the master"),
        _ if is_gone(text) => error(ErrorKind::NotFound).with_status(ErrorStatus::Temporary),
        _ if is_try_again(text) => error(ErrorKind::Full),
        _ => error(ErrorKind::Internal),
    }
}

/// Whatever was under way may or may not have had its effect.
pub(crate) fn connection(operation: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::Connection, operation, what)
}

pub(crate) fn lost(operation: &'static str) -> Error {
    connection(operation, "the connection to the server was lost")
}

pub(crate) fn silent(operation: &'static str, bound: std::time::Duration) -> Error {
    connection(operation, "the server says nothing, and the connection is given up")
        .with("silent for", format!("{bound:?}"))
}

pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this connection to the server was closed")
}

pub(crate) fn lease_lost() -> Error {
    Error::new(ErrorKind::Stale, "receive", "the lease of this consumer ran out: others have what it held")
        .with_status(ErrorStatus::Temporary)
}

pub(crate) fn malformed(what: Malformed, operation: &'static str) -> Error {
    Error::new(ErrorKind::Connection, operation, format!("an answer of the server cannot be read: {}", what.0))
        .with_help("see that a Redis server listens at this address")
}

pub(crate) fn differs(channel: &str, field: &str, held: &str, asked: &str) -> Error {
    let words = format!("the server holds this channel with {field} = {held}, and {field} = {asked} is asked for");
    Error::new(ErrorKind::Conflict, "ensure channel", words)
        .with("channel", channel)
        .with("field", field)
        .with("held", held)
        .with("asked", asked)
        .with_help("declare the channel from one value everywhere")
}

pub(crate) fn no_such_channel(operation: &'static str, channel: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "the server holds no such stream")
        .with("channel", channel)
        .with_help("ensure it first; opening a publisher or a worker does")
}

pub(crate) fn no_such_group(operation: &'static str, channel: &str, group: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "the stream has no such consumer group")
        .with("channel", channel)
        .with("group", group)
        .with_help("create it with `XGROUP CREATE`, or name another with the setting `group`")
}

pub(crate) fn too_large(channel: &str, bytes: usize, limit: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "publish", format!("the body has {bytes} bytes, at most {limit} are allowed"))
        .with("channel", channel)
        .with_help("send a reference to the data instead, or raise the setting `max_body`")
}
