//! From fields to a message. Whatever comes, something sensible is made of it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::control::Control;
use super::value::Value;
use crate::{
    Attempt, DeadLetterInfo, Delay, Error, ErrorKind, HeaderValue, History, Key, MAX_HEADERS, MAX_TEXT, Message,
    MessageId, ReasonKind, Text, bounded_error_text,
};

/// A message as it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// The message, or what could be read of it; it keeps the limits for publishing.
    pub message: Message,
    /// Why it cannot be understood: goes into
    /// [`Incoming::undecodable`](crate::driver::Incoming::undecodable).
    pub problem: Option<Error>,
}

/// Takes fields and headers as they come.
pub(super) struct Gather {
    message: Message,
    history: Option<History>,
    problem: Option<Error>,
}

impl Gather {
    /// Begins with what the broker's own fields said.
    pub(super) fn new(message: Message) -> Self {
        Gather { message, history: None, problem: None }
    }

    /// Something is wrong; the first that is counts.
    pub(super) fn wrong(&mut self, problem: Error) {
        self.problem.get_or_insert(problem);
    }

    /// A user's header.
    pub(super) fn header(&mut self, name: Text, value: HeaderValue) {
        if self.message.headers.len() == MAX_HEADERS {
            self.wrong(problem(format!("it has more than {MAX_HEADERS} headers")));
        } else {
            self.message.headers.append(name, value);
        }
    }

    /// A field; says whether its value made sense.
    pub(super) fn field(&mut self, control: Control, value: Value<'_>) -> bool {
        let made_sense = self.set(control, value).is_some();
        if !made_sense {
            let name = control.name();
            self.wrong(problem(format!("its field {name} holds what such a field cannot hold")).with("field", name));
        }
        made_sense
    }

    fn set(&mut self, control: Control, value: Value<'_>) -> Option<()> {
        match control {
            Control::Id => self.message.id = id(value)?,
            Control::Type => self.message.type_name = text(value)?,
            Control::Key => self.message.key = Some(Key::new(value.as_bytes().filter(|key| key.len() <= MAX_TEXT)?)),
            Control::ContentType => self.message.content_type = text(value)?,
            Control::Timestamp => self.message.timestamp_ms = unsigned(value)?,
            Control::Correlation => self.edit(text(value)?, Message::with_correlation),
            Control::Causation => self.edit(text(value)?, Message::with_causation),
            Control::ReplyTo => self.edit(text(value)?, Message::with_reply_to),
            Control::Ttl => self.edit(Duration::from_nanos(unsigned(value)?), Message::with_ttl),
            Control::Delay => self.edit(Delay::For(Duration::from_nanos(unsigned(value)?)), Message::with_delay),
            Control::Until => {
                let nanos = int(value)?;
                let apart = Duration::from_nanos(nanos.unsigned_abs());
                let at = if nanos < 0 { UNIX_EPOCH.checked_sub(apart) } else { UNIX_EPOCH.checked_add(apart) };
                self.edit(Delay::Until(at?), Message::with_delay);
            }
            Control::Priority => self.edit(int(value)?.try_into().ok()?, Message::with_priority),
            Control::Failures => self.history().failures = int(value)?.try_into().ok()?,
            Control::Deliveries => self.history().deliveries = Some(int(value)?.try_into().ok()?),
            Control::FirstFailure => self.history().first_failure_ms = unsigned(value)?,
            Control::OnlyFor => self.history().only_for = Some(text(value)?),
            Control::MaybeDuplicate => self.history().maybe_duplicate = truth(value)?,
            Control::Hops => self.history().hops = int(value)?.try_into().ok()?,
            // A reason that this version does not know is as good as none.
            Control::Dead => self.dead().reason = ReasonKind::parse(str(value)?),
            Control::DeadError => self.dead().error = Some(bounded_error_text(str(value)?)),
            Control::DeadChannel => self.dead().channel = Some(text(value)?),
            Control::DeadSubscription => self.dead().subscription = Some(text(value)?),
            Control::DeadAttempts => self.attempts().at_least = int(value)?.try_into().ok()?,
            Control::DeadAttemptsMost => self.attempts().at_most = Some(int(value)?.try_into().ok()?),
            Control::DeadFirstFailure => self.dead().first_failure_ms = Some(unsigned(value)?),
            Control::DeadLastFailure => self.dead().last_failure_ms = Some(unsigned(value)?),
        }
        Some(())
    }

    fn edit<T>(&mut self, value: T, with: fn(Message, T) -> Message) {
        let message = std::mem::replace(&mut self.message, Message::new(bytes::Bytes::new()));
        self.message = with(message, value);
    }

    fn history(&mut self) -> &mut History {
        let known = &self.message;
        self.history.get_or_insert_with(|| known.history().clone())
    }

    fn dead(&mut self) -> &mut DeadLetterInfo {
        let unknown = || Arc::new(DeadLetterInfo::unknown());
        Arc::make_mut(self.history().dead_letter.get_or_insert_with(unknown))
    }

    fn attempts(&mut self) -> &mut Attempt {
        self.dead().attempts.get_or_insert(Attempt { at_least: 1, at_most: None })
    }

    /// What came of it. A message that could not be published again, because it breaks a limit, is cut down to what
    /// can: else its dead letter could never be stored.
    pub(super) fn finish(mut self) -> Read {
        if let Some(history) = self.history {
            self.message = self.message.with_history(history);
        }
        if let Err(error) = self.message.validate() {
            let found = problem("it breaks a limit for messages").with("limit", error.message());
            self.problem.get_or_insert(found);
            self.message = kept(self.message);
        }
        Read { message: self.message, problem: self.problem }
    }
}

/// What of a message keeps the limits.
fn kept(message: Message) -> Message {
    let mut kept = Message::new(message.body.clone()).with_history(message.history().clone());
    kept.timestamp_ms = message.timestamp_ms;
    let parts: [fn(&Message, &mut Message); 8] = [
        |from, to| to.id = from.id.clone(),
        |from, to| to.key = from.key.clone(),
        |from, to| to.type_name = from.type_name.clone(),
        |from, to| to.content_type = from.content_type.clone(),
        |from, to| to.headers = from.headers.clone(),
        |from, to| copy(to, from.correlation(), Message::with_correlation),
        |from, to| copy(to, from.causation(), Message::with_causation),
        |from, to| copy(to, from.reply_to(), Message::with_reply_to),
    ];
    for part in parts {
        let mut with = kept.clone();
        part(&message, &mut with);
        if with.validate().is_ok() {
            kept = with;
        }
    }
    kept
}

fn copy(to: &mut Message, text: Option<&Text>, with: fn(Message, Text) -> Message) {
    if let Some(text) = text {
        *to = with(to.clone(), text.clone());
    }
}

/// The error of a message that cannot be read.
pub(super) fn problem(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::Codec, "read message", what)
}

fn str(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

fn text(value: Value<'_>) -> Option<Text> {
    str(value).filter(|text| text.len() <= MAX_TEXT).map(Text::from)
}

fn id(value: Value<'_>) -> Option<MessageId> {
    match value {
        Value::Str(text) if text.len() <= MAX_TEXT => Some(MessageId::from(text)),
        Value::Bytes(bytes) => Some(MessageId::from_u128(u128::from_be_bytes(bytes.try_into().ok()?))),
        _ => None,
    }
}

fn int(value: Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(number),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    }
}

fn unsigned(value: Value<'_>) -> Option<u64> {
    int(value)?.try_into().ok()
}

fn truth(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(truth),
        Value::Str(text) => text.parse().ok(),
        _ => None,
    }
}
