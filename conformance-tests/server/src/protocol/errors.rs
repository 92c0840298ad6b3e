//! Errors over the wire: kind, status, words, and the facts that have known names.

use pontoon_core::{Error, ErrorKind, ErrorStatus};

use super::{Malformed, Put, Take};

const KINDS: [ErrorKind; 18] = [
    ErrorKind::InvalidUrl,
    ErrorKind::UnknownScheme,
    ErrorKind::InvalidConfig,
    ErrorKind::InvalidName,
    ErrorKind::InvalidHeader,
    ErrorKind::InvalidMessage,
    ErrorKind::TooLarge,
    ErrorKind::Unsupported,
    ErrorKind::Conflict,
    ErrorKind::NotFound,
    ErrorKind::Permission,
    ErrorKind::Connection,
    ErrorKind::Timeout,
    ErrorKind::Full,
    ErrorKind::Closed,
    ErrorKind::Codec,
    ErrorKind::Stale,
    ErrorKind::Internal,
];
const STATUSES: [ErrorStatus; 3] = [ErrorStatus::Permanent, ErrorStatus::Temporary, ErrorStatus::Unknown];
/// Facts that an error of the model may hold.
const FACTS: [&str; 6] = ["channel", "subscription", "field", "held", "asked", "limit"];

pub(crate) fn put_error(to: &mut Vec<u8>, error: &Error) {
    let at = |found: Option<usize>| found.map_or(u8::MAX, |at| at as u8);
    to.push(at(KINDS.iter().position(|kind| *kind == error.kind())));
    to.push(at(STATUSES.iter().position(|status| *status == error.status())));
    to.put_text(error.message());
    to.put_option(error.help());
    let facts = FACTS.iter().enumerate().filter_map(|(at, name)| Some((at as u8, error.context(name)?)));
    let facts: Vec<(u8, &str)> = facts.collect();
    to.push(facts.len() as u8);
    for (name, value) in facts {
        to.push(name);
        to.put_text(value);
    }
}

/// Takes an error, as one of this operation.
pub(crate) fn take_error(from: &mut Take, operation: &'static str) -> Result<Error, Malformed> {
    let kind = KINDS.get(usize::from(from.u8()?)).copied().unwrap_or(ErrorKind::Internal);
    let status = STATUSES.get(usize::from(from.u8()?)).copied().unwrap_or(ErrorStatus::Unknown);
    let mut error = Error::new(kind, operation, from.text()?).with_status(status);
    if let Some(help) = from.option()? {
        error = error.with_help(help);
    }
    for _ in 0..from.u8()? {
        let name = from.u8()?;
        let value = from.text()?;
        if let Some(name) = FACTS.get(usize::from(name)) {
            error = error.with(name, value);
        }
    }
    Ok(error)
}
