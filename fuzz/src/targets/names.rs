//! Names, ids, keys and texts that come from outside: kept as they were spelled, or refused.

use pontoon_core::{Channel, ChannelName, Key, MessageId, ReasonKind, Subscription, bounded_error_text};

use super::text;

pub(super) fn run(input: &[u8]) -> String {
    let text = text(input);
    let name = ChannelName::new(text.to_string());
    if let Ok(name) = &name {
        assert_eq!(name.as_str(), text);
        let channel = Channel::queue(text.to_string()).expect("a queue may have every valid name");
        if let Some(dead) = channel.dead_letter_channel() {
            assert!(dead.validate().is_ok() || channel.validate().is_err(), "the dead-letter channel of {text:?}");
        }
    }
    let native = ChannelName::native(text.to_string());
    let subscription = Subscription::new(text.to_string());
    let id = MessageId::from(&*text);
    assert_eq!(id.is_unset(), text.is_empty());
    assert!(text.is_empty() || id.to_string() == text, "{id} was spelled {text}");
    let key = Key::new(input);
    assert_eq!(key.as_bytes(), input);
    let bounded = bounded_error_text(&text);
    assert!(bounded.len() <= 1024 && text.starts_with(&*bounded), "{bounded:?}");
    let reason = ReasonKind::parse(&text);
    format!("{} {} {} {} {reason:?}", name.is_ok(), native.is_ok(), subscription.is_ok(), id.validate().is_ok())
}
