//! Whether a message outlived its TTL: judged when it arrives, by the publisher's clock when it was published and by
//! ours now.

use std::time::{SystemTime, UNIX_EPOCH};

use pontoon_core::Message;

/// Whether its time is over.
pub(crate) fn is_over(message: &Message) -> bool {
    let Some(ttl) = message.ttl() else { return false };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let published = u128::from(message.timestamp_ms);
    published != 0 && now.as_millis() > published + ttl.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_over_only_after_its_time() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let of = |published: u64| {
            let mut message = Message::new("").with_ttl(Duration::from_secs(10));
            message.timestamp_ms = published;
            message
        };
        assert!(is_over(&of(now - 11_000)) && !is_over(&of(now - 9_000)));
        assert!(!is_over(&of(0)), "nobody knows since when");
        assert!(!is_over(&Message::new("")));
    }
}
