//! A channel's facts, recorded at the broker: as the argument of an exchange that nothing is ever published to, since a
//! broker refuses to declare an exchange again with another argument, and says which one it has.

use pontoon_core::{Channel, ChannelKind, DeadLetterPolicy, Error, Order, Retention, Spill};

use crate::error;

/// Comes with every refusal, before what the broker holds.
const HELD: &str = "but current is '";

/// The fact that is recorded last.
const LAST: &str = "dead_letter";

/// The facts in a fixed order, short enough that the broker's refusal shows them: it cuts its words at 255 bytes. The
/// dead-letter channel is last, since it is the longest.
fn parts(channel: &Channel) -> [(&'static str, String); 6] {
    let order = match channel.order {
        Order::Unordered => "unordered".to_owned(),
        Order::FallBehind => "behind".to_owned(),
        Order::Block { max_blocked_keys, longest_wait, spill } => {
            let spill = if spill == Spill::DeadLetter { "dead" } else { "behind" };
            format!("block/{max_blocked_keys}/{}/{spill}", longest_wait.as_millis())
        }
    };
    let kind = match channel.kind {
        ChannelKind::Queue => "queue",
        ChannelKind::Topic => "topic",
    };
    let retention = match channel.retention {
        Retention::UntilSettled => "-".to_owned(),
        Retention::For(time) => time.as_millis().to_string(),
    };
    let dead = match &channel.dead_letter {
        DeadLetterPolicy::To(name) => format!("to {name}"),
        DeadLetterPolicy::Discard => "discard".to_owned(),
        DeadLetterPolicy::Undeclared => "-".to_owned(),
    };
    [
        ("kind", kind.to_owned()),
        ("order", order),
        ("shards", channel.shards.unwrap_or(1).to_string()),
        ("delivery_ceiling", channel.delivery_ceiling.to_string()),
        ("retention", retention),
        (LAST, dead),
    ]
}

/// The argument.
pub(crate) fn text(channel: &Channel) -> String {
    parts(channel).map(|(_, value)| value).join(";")
}

/// What differs, from the broker's refusal of another argument.
pub(crate) fn difference(channel: &Channel, refusal: &str) -> Option<Error> {
    let held = refusal.split_once(HELD)?.1;
    // Cut words end in dots: then only the last fact, which is the longest, can be another one.
    let (held, cut) = match held.strip_suffix("...") {
        Some(held) => (held, true),
        None => (held.trim_end_matches('\''), false),
    };
    let mut held = held.split(';');
    for (field, asked) in parts(channel) {
        let held = held.next().unwrap_or_default();
        let same = if cut { asked.starts_with(held) && field != LAST } else { asked == held };
        if !same {
            return Some(error::differs(channel.name.as_str(), field, held, &asked));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use pontoon_core::ChannelName;

    #[test]
    fn a_refusal_names_the_field_with_both_values() {
        let mut channel = Channel::queue("q").unwrap();
        channel.dead_letter = DeadLetterPolicy::To(ChannelName::new("q.dead").unwrap());
        let refusal = |held: &str| {
            format!(
                "PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'q--facts' in vhost '/': \
                 received '?' but current is '{held}'"
            )
        };
        assert_eq!(text(&channel), "queue;unordered;1;100;-;to q.dead");
        assert!(difference(&channel, &refusal(&text(&channel))).is_none());
        let mut other = channel.clone();
        other.order = Order::FallBehind;
        let error = difference(&channel, &refusal(&text(&other))).unwrap();
        assert_eq!(error.context("field"), Some("order"));
        assert_eq!((error.context("held"), error.context("asked")), (Some("behind"), Some("unordered")));
        let cut = "… received '?' but current is 'queue;unordered;1;100;-;to som...";
        assert_eq!(difference(&channel, cut).unwrap().context("field"), Some("dead_letter"));
    }
}
