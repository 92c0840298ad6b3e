//! The settings of a server: one struct for code, files, URLs and the environment.

use std::time::Duration;

use pontoon_core::{Error, ErrorKind, Result, settings};
use serde::Deserialize;

use crate::faults::{Chance, Fault, Faults};
use crate::queue::MOST_MESSAGES;

/// Settings of a [`MemoryServer`](crate::MemoryServer). Each has a default; an unknown one is an error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// The most messages one queue or subscription holds, in flight and held back included: 1 to 2³⁰, default
    /// 1,000,000. Publishers wait at the bound.
    #[serde(deserialize_with = "settings::a_number")]
    pub max_messages: usize,
    /// The most bytes (bodies, keys and headers) one queue or subscription holds: default 1 GiB. Publishers wait at
    /// the bound; a single message always fits into an empty queue.
    #[serde(deserialize_with = "settings::a_size")]
    pub max_bytes: u64,
    /// The largest body, in bytes: at most 4 GiB − 1, default 16 MiB. A larger one is refused.
    #[serde(deserialize_with = "settings::a_size")]
    pub max_body: u64,
    /// How long a delivery may be out before it is taken back, unless it is extended: from 1 ms, default 30 s.
    #[serde(deserialize_with = "settings::a_duration")]
    pub lease: Duration,
    /// How many messages of one key may be out at once, all to the consumer that already holds that key, on ordered
    /// channels: from 1, default 1. With 1, a key with a message out is not handed out at all.
    #[serde(deserialize_with = "settings::a_number")]
    pub key_window: u32,
    /// Makes faults repeatable; without it every server has its own.
    #[serde(deserialize_with = "settings::some_number")]
    pub seed: Option<u64>,
    /// [`Fault::LoseConfirm`].
    pub lose_confirm: Chance,
    /// [`Fault::Duplicate`].
    pub duplicate: Chance,
    /// [`Fault::DelayDelivery`].
    pub delay_delivery: Chance,
    /// The longest that [`Fault::DelayDelivery`] holds a message back: default 1 s.
    #[serde(deserialize_with = "settings::a_duration")]
    pub delivery_delay: Duration,
    /// [`Fault::DropConnection`].
    pub drop_connection: Chance,
    /// [`Fault::ExpireLease`].
    pub expire_lease: Chance,
    /// [`Fault::RefuseDeadLetter`].
    pub refuse_dead_letter: Chance,
    /// [`Fault::FailSettle`].
    pub fail_settle: Chance,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        MemoryConfig {
            max_messages: 1_000_000,
            max_bytes: 1 << 30,
            max_body: 16 << 20,
            lease: Duration::from_secs(30),
            key_window: 1,
            seed: None,
            lose_confirm: Chance::NEVER,
            duplicate: Chance::NEVER,
            delay_delivery: Chance::NEVER,
            delivery_delay: Duration::from_secs(1),
            drop_connection: Chance::NEVER,
            expire_lease: Chance::NEVER,
            refuse_dead_letter: Chance::NEVER,
            fail_settle: Chance::NEVER,
        }
    }
}

impl MemoryConfig {
    /// Settings from names and values, as a URL's query has them.
    ///
    /// ```
    /// # fn main() -> pontoon_core::Result<()> {
    /// use pontoon_memory::MemoryConfig;
    /// let pairs = [("lease", "5s"), ("max_bytes", "64MiB")];
    /// let config = MemoryConfig::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())))?;
    /// assert_eq!(config.lease.as_secs(), 5);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting: unknown (with the valid ones), given twice, unreadable, or out of range.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let config: Self = settings::from_pairs(pairs).map_err(|error| error.with_help(HELP))?;
        config.validate()?;
        Ok(config)
    }

    /// The faults to begin with.
    pub(crate) fn faults(&self) -> Faults {
        Faults::new(
            self.seed.unwrap_or_else(pontoon_core::os_seed),
            self.delivery_delay,
            &[
                (Fault::LoseConfirm, self.lose_confirm),
                (Fault::Duplicate, self.duplicate),
                (Fault::DelayDelivery, self.delay_delivery),
                (Fault::DropConnection, self.drop_connection),
                (Fault::ExpireLease, self.expire_lease),
                (Fault::RefuseDeadLetter, self.refuse_dead_letter),
                (Fault::FailSettle, self.fail_settle),
            ],
        )
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting and its range.
    pub fn validate(&self) -> Result<()> {
        let range = |name: &str, rule: &str| Err(wrong(&format!("`{name}` must be {rule}")).with("setting", name));
        if self.max_messages == 0 || self.max_messages > MOST_MESSAGES {
            return range("max_messages", "from 1 to 1073741824");
        }
        if self.max_bytes == 0 {
            return range("max_bytes", "at least 1");
        }
        if self.max_body >= u64::from(u32::MAX) {
            return range("max_body", "below 4 GiB");
        }
        if self.lease < Duration::from_millis(1) {
            return range("lease", "at least 1ms");
        }
        if self.key_window == 0 {
            return range("key_window", "at least 1");
        }
        Ok(())
    }
}

const HELP: &str = "see the settings in the documentation of `MemoryConfig`";

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, "read settings", message).with_help(HELP)
}
