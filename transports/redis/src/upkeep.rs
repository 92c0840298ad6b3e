//! What a publisher does for its streams now and then, since nobody else may be there: retention, and a bound for what no
//! subscription will read.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pontoon_core::{Channel, ChannelKind};

use crate::RedisConfig;
use crate::facts;
use crate::keys::Keys;
use crate::scripts::UPKEEP;

const EVERY: Duration = Duration::from_secs(1);

/// When it is due, and where its answers stand among those of messages.
#[derive(Debug)]
pub(crate) struct Upkeep {
    /// Nothing, where nothing is to be done.
    due: Option<Instant>,
    retention_ms: String,
    /// Nothing for queues.
    unsubscribed: String,
    /// How many messages are answered before each of its answers.
    answers: VecDeque<u64>,
}

impl Upkeep {
    pub(crate) fn of(channel: &Channel, config: &RedisConfig) -> Self {
        let topic = channel.kind == ChannelKind::Topic;
        let retention_ms = facts::retention_ms(channel);
        // Of another program's stream nothing is ours to remove.
        let is_needed = !channel.existing && (topic || retention_ms > 0);
        Upkeep {
            due: is_needed.then(Instant::now),
            retention_ms: retention_ms.to_string(),
            unsubscribed: if topic { config.keep_unsubscribed.to_string() } else { String::new() },
            answers: VecDeque::new(),
        }
    }

    /// Writes what is due; its answers come after those of so many messages.
    pub(crate) fn put(&mut self, shards: &[Keys], messages: u64, to: &mut Vec<u8>) {
        let Some(due) = self.due else { return };
        let now = Instant::now();
        if now < due {
            return;
        }
        for keys in shards {
            UPKEEP.call(to, &[&keys.stream], &[self.retention_ms.as_bytes(), self.unsubscribed.as_bytes()]);
            self.answers.push_back(messages);
        }
        self.due = Some(now + EVERY);
    }

    /// Whether the next answer is its own, when so many messages are answered. What it says changes nothing: it is tried
    /// again with the next.
    pub(crate) fn is_next(&mut self, messages: u64) -> bool {
        self.answers.pop_front_if(|due| *due == messages).is_some()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use pontoon_core::Retention;

    #[test]
    fn answers_are_told_apart_and_queues_without_retention_cost_nothing() {
        let config = RedisConfig::default();
        let keys = [Keys::of("q")];
        let mut none = Upkeep::of(&Channel::queue("q").unwrap(), &config);
        let mut out = Vec::new();
        none.put(&keys, 0, &mut out);
        assert!(out.is_empty() && !none.is_next(0));
        let mut brief = Channel::queue("q").unwrap();
        brief.retention = Retention::For(Duration::from_secs(5));
        let mut upkeep = Upkeep::of(&brief, &config);
        upkeep.put(&keys, 3, &mut out);
        assert!(String::from_utf8_lossy(&out).contains("\r\n5000\r\n"));
        let written = out.len();
        upkeep.put(&keys, 4, &mut out);
        assert_eq!(out.len(), written, "once a second");
        assert!(!upkeep.is_next(2) && upkeep.is_next(3) && !upkeep.is_next(3));
    }
}
