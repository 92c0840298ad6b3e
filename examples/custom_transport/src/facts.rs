//! What a queue was declared as, in the words that the journal keeps: one line for each fact.

use pontoon_core::{Channel, DeadLetterPolicy, Order, Result, Retention};

use crate::error;

/// The facts of this channel.
pub(crate) fn of(channel: &Channel) -> String {
    let order = match channel.order {
        Order::Unordered => "unordered",
        _ => "ordered",
    };
    let dead_letters = match &channel.dead_letter {
        DeadLetterPolicy::Undeclared => "undeclared".to_owned(),
        DeadLetterPolicy::To(name) => format!("to {name}"),
        DeadLetterPolicy::Discard => "discard".to_owned(),
    };
    let retention = match channel.retention {
        Retention::UntilSettled => "until settled".to_owned(),
        Retention::For(time) => format!("{} ns", time.as_nanos()),
    };
    let ceiling = channel.delivery_ceiling;
    format!("order={order}\ndead letters={dead_letters}\nretention={retention}\ndelivery ceiling={ceiling}\n")
}

/// Compares what is held with what is asked for.
///
/// # Errors
/// `Conflict`, naming the first fact that differs.
pub(crate) fn compare(queue: &str, held: &str, asked: &str) -> Result<()> {
    for (held, asked) in held.lines().zip(asked.lines()) {
        if held != asked {
            let value = |line: &'_ str| line.split_once('=').map_or("", |(_, value)| value).to_owned();
            let field = held.split_once('=').map_or(held, |(field, _)| field);
            return Err(error::conflict(queue, field, &value(held), &value(asked)));
        }
    }
    Ok(())
}
