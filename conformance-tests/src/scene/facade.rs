//! Channels as applications declare them.

use super::Place;

/// The names of a channel and its dead-letter channel as constants have them. They are never given back: a check makes a
/// few, and its process ends.
pub(crate) fn names(place: &Place) -> (&'static str, &'static str) {
    let leak = |name: String| -> &'static str { Box::leak(name.into_boxed_str()) };
    let name = place.channel.name.to_string();
    (leak(name.clone()), leak(format!("{name}.dead")))
}

/// Runs a block with the place as a typed channel, a queue or a subscription.
macro_rules! with_channel {
    ($scene:expr, $place:expr, $payload:ty, |$channel:ident| $body:block) => {{
        let (name, dead) = $crate::scene::names($place);
        if $scene.is_topic() {
            let $channel = pontoon::Topic::<$payload>::new(name).dead_letter(dead).subscription("one");
            $body
        } else {
            let $channel = pontoon::Queue::<$payload>::new(name).dead_letter(dead);
            $body
        }
    }};
}
pub(crate) use with_channel;
