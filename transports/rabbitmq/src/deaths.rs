//! `x-death`: what the broker writes on a message that it dead-letters. Where it only says that a message waited in one
//! of our buckets, it is no news to anybody.

use lapin::types::{AMQPValue, FieldTable};
use pontoon_core::{DeadLetterInfo, ReasonKind, Text};

use crate::names::{DELAY, owner};
use crate::wire::Headers;

const DEATHS: &str = "x-death";

fn entries(headers: &Headers) -> impl Iterator<Item = &FieldTable> {
    let deaths = match headers.get(DEATHS) {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice(),
        _ => &[],
    };
    deaths.iter().filter_map(|entry| match entry {
        AMQPValue::FieldTable(table) => Some(table),
        _ => None,
    })
}

fn text<'a>(table: &'a FieldTable, name: &str) -> Option<&'a str> {
    match table.inner().get(name)? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

fn waited(entry: &FieldTable) -> bool {
    text(entry, "queue").is_some_and(|queue| queue.starts_with(DELAY))
}

/// Whether the header of this name tells only of our buckets.
pub(crate) fn are_ours(name: &str, headers: &Headers) -> bool {
    let about_deaths = name == DEATHS || name.starts_with("x-first-death-") || name.starts_with("x-last-death-");
    about_deaths && entries(headers).next().is_some() && entries(headers).all(waited)
}

/// What is known of a dead letter that the broker made; nothing is added to what it says.
pub(crate) fn info(headers: &Headers) -> Option<DeadLetterInfo> {
    // The latest comes first.
    let death = entries(headers).find(|entry| !waited(entry))?;
    let mut info = DeadLetterInfo::unknown();
    info.reason = match text(death, "reason")? {
        "delivery_limit" => Some(ReasonKind::DeliveryCeiling),
        "rejected" => Some(ReasonKind::Rejected),
        "expired" => Some(ReasonKind::Expired),
        _ => None,
    };
    if let Some(queue) = text(death, "queue") {
        let (channel, subscription) = owner(queue);
        info.channel = Some(Text::from(channel));
        info.subscription = subscription.map(Text::from);
    }
    if let Some(AMQPValue::Timestamp(seconds)) = death.inner().get("time") {
        info.last_failure_ms = Some(seconds.saturating_mul(1000));
    }
    Some(info)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    fn death(queue: &str, reason: &str) -> AMQPValue {
        let mut table = FieldTable::default();
        table.insert("queue".into(), AMQPValue::LongString(queue.into()));
        table.insert("reason".into(), AMQPValue::LongString(reason.into()));
        table.insert("time".into(), AMQPValue::Timestamp(1_700_000_000));
        AMQPValue::FieldTable(table)
    }

    fn headers(deaths: Vec<AMQPValue>) -> Headers {
        Headers::from([(DEATHS.into(), AMQPValue::FieldArray(FieldArray::from(deaths)))])
    }

    #[test]
    fn a_broker_s_dead_letter_says_what_the_broker_knows() {
        let both = headers(vec![death("t--sub-s", "delivery_limit"), death("pontoon--delay-100", "expired")]);
        let info = info(&both).unwrap();
        assert_eq!(info.reason, Some(ReasonKind::DeliveryCeiling));
        assert_eq!((info.channel.as_deref(), info.subscription.as_deref()), (Some("t"), Some("s")));
        assert_eq!((info.last_failure_ms, info.attempts), (Some(1_700_000_000_000), None));
        assert!(!are_ours(DEATHS, &both));
    }

    #[test]
    fn a_wait_in_a_bucket_is_no_death() {
        let waited = headers(vec![death("pontoon--delay-100", "expired")]);
        assert!(info(&waited).is_none());
        assert!(are_ours(DEATHS, &waited) && are_ours("x-first-death-queue", &waited));
        assert!(!are_ours("a", &waited));
        // A user's own header of that name is the user's.
        let mine = Headers::from([(DEATHS.into(), AMQPValue::LongString("mine".into()))]);
        assert!(info(&mine).is_none() && !are_ours(DEATHS, &mine));
    }
}
