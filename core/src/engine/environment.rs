//! What surrounds every handle: the event hook, the source of seeds, the clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Clock;
use crate::{EventHook, EventKind, os_seed};

/// What publishers and subscriptions are opened in: hook, randomness, clock. Cheap to clone; clones share all three.
#[derive(Clone)]
pub struct Environment {
    hook: Option<Arc<dyn EventHook>>,
    seeds: Arc<Seeds>,
    clock: Clock,
}

struct Seeds {
    base: u64,
    opened: AtomicU64,
}

impl Environment {
    /// No hook, randomness from the operating system, a clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Environment { hook: None, seeds: Arc::new(Seeds::from(os_seed())), clock: Clock::new() }
    }

    /// Events go to this hook.
    #[must_use]
    pub fn with_hook(mut self, hook: Arc<dyn EventHook>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Every handle opened from now on derives its randomness from this seed and the order of opening: for tests that
    /// repeat.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seeds = Arc::new(Seeds::from(seed));
        self
    }

    /// The clock that all handles share.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The hook, when there is one and it wants this kind: ask once, when a handle opens.
    #[must_use]
    pub fn hook_for(&self, kind: EventKind) -> Option<Arc<dyn EventHook>> {
        self.hook.as_ref().filter(|hook| hook.wants(kind)).cloned()
    }

    /// A seed for one handle: different each time, the same sequence for the same [`seeded`](Self::seeded).
    #[must_use]
    pub fn next_seed(&self) -> u64 {
        // Neighbouring counts must give unrelated seeds, which the generator's own mixing provides.
        let count = self.seeds.opened.fetch_add(1, Ordering::Relaxed);
        fastrand::Rng::with_seed(self.seeds.base ^ fastrand::Rng::with_seed(count).u64(..)).u64(..)
    }
}

impl From<u64> for Seeds {
    fn from(base: u64) -> Self {
        Seeds { base, opened: AtomicU64::new(0) }
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("hook", &self.hook.is_some()).field("clock", &self.clock).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    #[test]
    fn equal_seeds_give_equal_handles_and_handles_differ() {
        let draw = |env: &Environment| (0..50).map(|_| env.next_seed()).collect::<Vec<_>>();
        let first = draw(&Environment::new().seeded(7));
        assert_eq!(first, draw(&Environment::new().seeded(7)));
        assert_ne!(first, draw(&Environment::new().seeded(8)));
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), first.len());
    }

    #[test]
    fn every_bit_of_a_seed_counts() {
        let env = Environment::new().seeded(u64::MAX);
        assert_ne!(env.next_seed(), env.next_seed());
    }

    #[tokio::test(start_paused = true)]
    async fn all_handles_share_one_clock() {
        let env = Environment::new();
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        let since_start = env.clock().now().since(crate::Moment::ZERO);
        assert_eq!(since_start, std::time::Duration::from_secs(10));
    }

    #[test]
    fn debug_tells_whether_there_is_a_hook() {
        let text = format!("{:?}", Environment::new());
        assert!(text.contains("hook: false"), "{text}");
    }

    #[test]
    fn the_hook_is_given_only_for_what_it_wants() {
        struct OnlyLost;
        impl EventHook for OnlyLost {
            fn wants(&self, kind: EventKind) -> bool {
                kind == EventKind::Disconnected
            }
            fn on_event(&self, _: &Event<'_>) {}
        }
        let env = Environment::new().with_hook(Arc::new(OnlyLost));
        assert!(env.hook_for(EventKind::Disconnected).is_some());
        assert!(env.hook_for(EventKind::Published).is_none());
        assert!(Environment::new().hook_for(EventKind::Disconnected).is_none());
    }
}
