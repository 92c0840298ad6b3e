//! From a message to its fields, in the order of their numbers.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::control::Control;
use super::form::Native;
use super::value::Value;
use crate::{DeadLetterInfo, Delay, History, Message};

/// Hands over every field that is set and has no place of the broker's own; the id is not among them, since its two
/// spellings differ by form.
pub(super) fn each(message: &Message, native: &Native, mut field: impl FnMut(Control, Value<'_>)) {
    let mut text = |control, text: &str, elsewhere: bool| {
        if !elsewhere && !text.is_empty() {
            field(control, Value::Str(text));
        }
    };
    text(Control::Type, &message.type_name, native.type_name);
    text(Control::ContentType, &message.content_type, native.content_type);
    if !native.key
        && let Some(key) = &message.key
    {
        field(Control::Key, Value::Bytes(key.as_bytes()));
    }
    if !native.timestamp && message.timestamp_ms != 0 {
        field(Control::Timestamp, unsigned(message.timestamp_ms));
    }
    if message.is_plain() {
        return;
    }
    rare(message, native, &mut field);
    history(message.history(), &mut field);
}

fn rare(message: &Message, native: &Native, field: &mut impl FnMut(Control, Value<'_>)) {
    // Set and empty is not the same as not set: these are written even when they are empty.
    let mut text = |control, text: Option<&crate::Text>, elsewhere: bool| {
        if let Some(text) = text
            && !elsewhere
        {
            field(control, Value::Str(text));
        }
    };
    text(Control::Correlation, message.correlation(), native.correlation);
    text(Control::Causation, message.causation(), false);
    text(Control::ReplyTo, message.reply_to(), native.reply_to);
    if !native.ttl
        && let Some(ttl) = message.ttl()
    {
        field(Control::Ttl, nanos(ttl));
    }
    match message.delay() {
        Some(Delay::For(delay)) if !native.delay => field(Control::Delay, nanos(delay)),
        Some(Delay::Until(at)) if !native.delay => field(Control::Until, instant(at)),
        _ => {}
    }
    if !native.priority
        && let Some(priority) = message.priority()
    {
        field(Control::Priority, Value::Int(priority.into()));
    }
}

fn history(history: &History, field: &mut impl FnMut(Control, Value<'_>)) {
    let History { failures, deliveries, first_failure_ms, only_for, maybe_duplicate, hops, dead_letter } = history;
    if *failures != 0 {
        field(Control::Failures, Value::Int((*failures).into()));
    }
    if let Some(deliveries) = *deliveries {
        field(Control::Deliveries, Value::Int(deliveries.into()));
    }
    if *first_failure_ms != 0 {
        field(Control::FirstFailure, unsigned(*first_failure_ms));
    }
    if let Some(only_for) = only_for {
        field(Control::OnlyFor, Value::Str(only_for));
    }
    if *maybe_duplicate {
        field(Control::MaybeDuplicate, Value::Bool(true));
    }
    if *hops != 0 {
        field(Control::Hops, Value::Int((*hops).into()));
    }
    if let Some(info) = dead_letter {
        dead(info, field);
    }
}

fn dead(info: &DeadLetterInfo, field: &mut impl FnMut(Control, Value<'_>)) {
    let DeadLetterInfo { reason, error, channel, subscription, attempts, first_failure_ms, last_failure_ms } = info;
    field(Control::Dead, Value::Str(reason.map_or("unknown", |reason| reason.as_str())));
    let texts =
        [(Control::DeadError, error), (Control::DeadChannel, channel), (Control::DeadSubscription, subscription)];
    for (control, text) in texts {
        if let Some(text) = text {
            field(control, Value::Str(text));
        }
    }
    if let Some(attempts) = attempts {
        field(Control::DeadAttempts, Value::Int(attempts.at_least.into()));
        if let Some(most) = attempts.at_most {
            field(Control::DeadAttemptsMost, Value::Int(most.into()));
        }
    }
    for (control, at) in [(Control::DeadFirstFailure, first_failure_ms), (Control::DeadLastFailure, last_failure_ms)] {
        if let Some(at) = at {
            field(control, unsigned(*at));
        }
    }
}

fn unsigned(number: u64) -> Value<'static> {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

fn nanos(duration: Duration) -> Value<'static> {
    Value::Int(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

fn instant(at: SystemTime) -> Value<'static> {
    Value::Int(match at.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    })
}
