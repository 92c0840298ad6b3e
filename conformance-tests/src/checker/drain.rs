//! Step 2: is there enough to judge by?

use super::case::Case;
use super::conserve::{dead_letters_readable, expected};
use super::index::Fate;
use crate::history::{DrainEnd, SourceName};

/// What is missing for a verdict, if anything is.
pub(super) fn missing(case: &Case<'_>) -> Option<String> {
    let index = &case.index;
    if index.sent.is_empty() {
        return Some("nothing was published".to_owned());
    }
    if index.sources.is_empty() {
        return Some("nothing was read".to_owned());
    }
    let confirmed = index.sent.iter().filter(|sent| sent.fate == Fate::Confirmed).count();
    let share = confirmed as f64 / index.sent.len() as f64;
    if share < case.promises.confirmed_share {
        let (least, all) = (case.promises.confirmed_share, index.sent.len());
        return Some(format!("only {confirmed} of {all} publishes were confirmed, at least {least} of them should be"));
    }
    for source in 0..index.sources.len() {
        let name = index.sources[source].name;
        if !is_read(case, source) && index.sent.iter().any(|sent| expected(case, sent, source)) {
            return Some(format!("{name} was not read to its end"));
        }
    }
    let letters = index.stories.iter().any(|story| {
        index
            .leases_of(story)
            .any(|lease| lease.settled.is_some_and(|s| matches!(s.end, crate::history::End::DeadLetter(_))))
    });
    if letters && !dead_letters_readable(case) {
        return Some("the dead-letter channel was not read to its end".to_owned());
    }
    None
}

/// Whether this source was read until nothing more could come.
pub(super) fn is_read(case: &Case<'_>, source: usize) -> bool {
    matches!(case.index.sources[source].drained, Some(DrainEnd::Empty | DrainEnd::Quiet))
}

/// Whether the queue of this name was read until nothing more could come.
pub(super) fn is_read_by_name(case: &Case<'_>, channel: &crate::history::Name) -> bool {
    let name = SourceName { channel: channel.clone(), subscription: None };
    case.index.by_source.get(&name).is_some_and(|source| is_read(case, *source))
}
