//! What can go wrong, in words that say what to do next.

use std::io;
use std::path::Path;

use pontoon_core::{Error, ErrorKind, ErrorStatus};

/// The connection was cut, or the broker ended: whether anything was done is not known.
pub(crate) fn lost(operation: &'static str) -> Error {
    Error::new(ErrorKind::Connection, operation, "the broker of this folder ended the connection, or ended itself")
        .with_help("connect again; if it cannot start, the error of that says why")
}

/// The files cannot be used now: nothing was done.
pub(crate) fn files(operation: &'static str, folder: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Connection, operation, format!("the files of the folder cannot be used: {error}"))
        .with_status(ErrorStatus::Temporary)
        .with("folder", folder.display())
        .with_help("see that the folder can be written to and that there is room on the disk")
        .with_source(error)
}

/// Somebody else has the folder.
pub(crate) fn taken(folder: &Path) -> Error {
    Error::new(ErrorKind::Conflict, "open folder", "the folder is in use: one broker at a time owns it")
        .with("folder", folder.display())
        .with_help("stop the other process; within this process share one `Folder`, which is cheap to clone")
}

/// The journal is broken where a crash cannot have broken it.
pub(crate) fn damaged(journal: &Path, at: u64) -> Error {
    Error::new(ErrorKind::Internal, "open folder", "the journal is damaged before its end: this was no torn write")
        .with("journal", journal.display())
        .with("byte", at)
        .with_help("restore it from a copy, or cut it off at that byte and lose what follows; nothing was changed")
}

/// The facts differ.
pub(crate) fn conflict(queue: &str, field: &str, held: &str, asked: &str) -> Error {
    let words = format!("the folder holds this queue with {field} = {held}, and {asked} was asked for");
    Error::new(ErrorKind::Conflict, "ensure channel", words)
        .with("channel", queue)
        .with("field", field)
        .with_help("declare the channel from one value everywhere")
}

/// No such queue.
pub(crate) fn missing(operation: &'static str, queue: &str) -> Error {
    Error::new(ErrorKind::NotFound, operation, "the folder holds no queue of this name")
        .with("channel", queue)
        .with_help("declare it first, or see that the name is right")
}

/// What this transport does not do.
pub(crate) fn unsupported(operation: &'static str, what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, format!("this transport has no {what}"))
        .with_help("use a transport that declares it")
}

/// The body is too large.
pub(crate) fn too_large(length: usize, most: u64) -> Error {
    Error::new(ErrorKind::TooLarge, "publish", format!("a body of {length} bytes is above the limit of {most}"))
        .with_help("raise `max_body` of the folder, or publish where the body lies")
}

/// No room now.
pub(crate) fn full(most: usize) -> Error {
    Error::new(ErrorKind::Full, "publish", format!("the folder holds {most} unsettled messages, its limit"))
        .with_help("let consumers catch up, or raise `max_messages` of the folder")
}

/// The connection was closed here.
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, operation, "this connection was closed").with_help("connect again")
}
