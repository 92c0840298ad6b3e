//! What can go wrong, in words that say what to do next.

use pontoon_core::{Error, ErrorKind};

/// A part of the transport that is not written yet. Delete this when nothing uses it any more.
pub(crate) fn unwritten(operation: &'static str, file: &str, step: &str) -> Error {
    Error::new(ErrorKind::Unsupported, operation, format!("src/{file} is not written yet"))
        .with_help(format!("this is the step \"{step}\" of docs/guide/transports.md"))
}
