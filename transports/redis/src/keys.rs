//! Names of keys: what a channel is called at the server.
//!
//! A queue or topic `x` is the stream `x`. Everything else of it begins with `{x}--`: the braces put it into the same
//! slot of a cluster, and no channel can have such a name (W1, W2).

/// The keys of one stream and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The stream itself.
    pub(crate) stream: String,
    /// Delayed messages, as entries of a stream.
    pub(crate) held: String,
    /// When each of them is due: a sorted set of their ids.
    pub(crate) due: String,
    stem: String,
}

impl Keys {
    /// Of an unsharded channel, or of the whole of a sharded one.
    pub(crate) fn of(channel: &str) -> Self {
        Self::with(channel.to_owned(), stem(channel))
    }

    /// Of one shard of so many. One shard alone is the channel itself.
    pub(crate) fn of_shard(channel: &str, shard: u16, shards: u16) -> Self {
        if shards == 1 {
            return Self::of(channel);
        }
        let stem = format!("{}--shard-{shard}", stem(channel));
        Self::with(stem.clone(), stem)
    }

    fn with(stream: String, stem: String) -> Self {
        Keys { held: format!("{stem}--held"), due: format!("{stem}--due"), stream, stem }
    }

    /// The facts with which the channel was declared: a hash.
    pub(crate) fn facts(&self) -> String {
        format!("{}--facts", self.stem)
    }

    /// What the leases of a group's consumers begin with.
    pub(crate) fn leases(&self) -> String {
        format!("{}--lease--", self.stem)
    }

    /// The lease of one consumer of an unordered channel.
    pub(crate) fn lease(&self, consumer: &str) -> String {
        format!("{}{consumer}", self.leases())
    }

    /// A key that is never there: to wait for.
    pub(crate) fn nothing(&self) -> String {
        format!("{}--nothing", self.stem)
    }

    /// The members of a group that share an ordered channel's streams, each with the moment up to which it lives: a
    /// sorted set.
    pub(crate) fn members(&self, group: &str) -> String {
        format!("{}--members--{group}", self.stem)
    }

    /// The one lease that a group has on an ordered stream.
    pub(crate) fn owner(&self, group: &str) -> String {
        format!("{}--owner--{group}", self.stem)
    }
}

/// What the keys beside the stream begin with. A native name may hold braces: its own tag decides its slot.
fn stem(channel: &str) -> String {
    match tag(channel) {
        Some(tag) => format!("{{{tag}}}--{channel}"),
        None if channel.contains('}') => format!("{{}}--{channel}"),
        None => format!("{{{channel}}}"),
    }
}

/// What of a key decides its slot: what is in the first pair of braces, unless nothing is.
fn tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The shard of a key: FNV-1a over its bytes, so that every program finds the same.
pub(crate) fn shard_of(key: &[u8], shards: u16) -> u16 {
    let hash = key
        .iter()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    // The low bits of FNV depend on few bits of short keys.
    ((hash ^ (hash >> 32)) % u64::from(shards.max(1))) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_channel_is_in_its_slot() {
        for (name, slot) in [("flights", "flights"), ("a.b", "a.b"), ("x{t}y", "t"), ("{a}{b}", "a"), ("x{y", "x{y")] {
            for shards in [1, 4] {
                let keys = Keys::of_shard(name, 0, shards);
                for key in
                    [&keys.held, &keys.due, &keys.facts(), &keys.lease("c"), &keys.owner("g"), &keys.members("g")]
                {
                    assert_eq!(tag(key), Some(slot), "{key} of {name}");
                }
            }
        }
    }

    #[test]
    fn names_do_not_collide() {
        let mut seen = std::collections::HashSet::new();
        for name in ["a", "b", "a{b}", "{a}b", "{a}", "a}b", "{}a"] {
            for (shard, shards) in [(0, 1), (0, 2), (1, 2)] {
                let keys = Keys::of_shard(name, shard, shards);
                let named = [keys.facts(), keys.lease("c"), keys.owner("g"), keys.members("g")];
                let own = [keys.held.clone(), keys.due.clone()].into_iter().chain(named);
                for key in own.chain([keys.stream.clone()]) {
                    assert!(seen.insert(key.clone()), "{key} of {name} is another's too");
                }
            }
        }
    }

    #[test]
    fn shards_are_found_alike_and_used_alike() {
        // Pinned: another version, or another program, has to find the same.
        let found = [shard_of(b"LAX", 8), shard_of(b"SFO", 8), shard_of(b"", 8), shard_of(b"LAX", 5)];
        assert_eq!(found, [3, 0, 1, 3]);
        let mut counts = [0u32; 8];
        for n in 0..8_000u32 {
            counts[usize::from(shard_of(n.to_string().as_bytes(), 8))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
