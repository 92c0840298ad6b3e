//! What a handler publishes belongs to the message it handles.

use std::future::Future;

use pontoon_core::{Message, Text};

tokio::task_local! {
    static CURRENT: Message;
}

/// W3C trace context travels in headers of these names.
const TRACE: [&str; 2] = ["traceparent", "tracestate"];

/// Runs a future in which everything published is caused by this message.
pub(crate) fn within<F: Future>(message: Message, future: F) -> impl Future<Output = F::Output> + use<F> {
    CURRENT.scope(message, future)
}

/// Ties a message to the one being handled, as far as it does not say otherwise itself.
#[inline]
pub(crate) fn inherit(message: &mut Message) {
    // Outside of handlers there is no parent.
    let _ = CURRENT.try_with(|parent| *message = tie(std::mem::replace(message, Message::new("")), parent));
}

fn tie(mut message: Message, parent: &Message) -> Message {
    if message.causation().is_none() {
        message = message.with_causation(parent.id.to_string());
    }
    if message.correlation().is_none() {
        // The first message of a conversation names it.
        let conversation = parent.correlation().cloned().unwrap_or_else(|| Text::from(parent.id.to_string()));
        message = message.with_correlation(conversation);
    }
    // The state belongs to its parent: both are the publisher's own, or both are inherited.
    if message.headers.get(TRACE[0]).is_none() && message.headers.get(TRACE[1]).is_none() {
        for name in TRACE {
            if let Some(value) = parent.headers.get(name) {
                message.headers.append(Text::literal(name), value.clone());
            }
        }
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inherited(mut message: Message) -> Message {
        inherit(&mut message);
        message
    }

    #[tokio::test]
    async fn what_a_message_says_itself_is_kept() {
        let parent =
            Message::new("p").with_id("parent").with_header("traceparent", "00-a").with_header("tracestate", "x");
        let (plain, own) = within(parent.clone(), async {
            (
                inherited(Message::new("c")),
                inherited(
                    Message::new("c").with_causation("me").with_correlation("talk").with_header("traceparent", "00-b"),
                ),
            )
        })
        .await;
        assert_eq!(plain.causation().unwrap(), &"parent");
        assert_eq!(plain.correlation().unwrap(), &"parent");
        assert_eq!(plain.headers, parent.headers);
        assert_eq!((own.causation().unwrap().as_str(), own.correlation().unwrap().as_str()), ("me", "talk"));
        assert_eq!(own.headers.len(), 1);

        let second = within(plain.with_id("child"), async { inherited(Message::new("g")) }).await;
        assert_eq!((second.causation().unwrap().as_str(), second.correlation().unwrap().as_str()), ("child", "parent"));
        assert!(inherited(Message::new("outside")).causation().is_none());
    }
}
