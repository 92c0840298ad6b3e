//! What a profile can do: by the broker's version and by kind.

use std::time::Duration;

use pontoon_core::{Capabilities, Capability, Channel, ChannelKind, Level};

use crate::config::RabbitConfig;
use crate::delay::LONGEST_DELAY;
use crate::server::Server;

/// What RabbitMQ takes by itself: since 4.0, and before.
const MAX_BODY: u64 = 16 << 20;
const MAX_BODY_BEFORE_4: u64 = 128 << 20;

/// The capabilities of the profile that this channel would use.
pub(crate) fn of(channel: &Channel, server: Server, config: &RabbitConfig) -> Capabilities {
    use Capability as C;
    let kind = match channel.kind {
        ChannelKind::Queue => "quorum",
        ChannelKind::Topic => "topic",
    };
    let mut found = Capabilities::new(format!("rabbitmq-{}.{}-{kind}", server.major, server.minor));
    let native = [C::StaleDetection, C::SurvivesProcessCrash, C::SurvivesPowerLoss, C::FanOut, C::Depth, C::Purge];
    let emulated = [
        C::AttemptCount,
        C::RejectWithReason,
        C::CrashLoopNet,
        C::OrderPerKey,
        C::RetryDelay,
        C::PublishDelay,
        C::MessageTtl,
    ];
    for capability in native {
        found.set(capability, Level::Native);
    }
    for capability in emulated {
        found.set(capability, Level::Emulated);
    }
    if server.at_least(4, 3) {
        found.set(C::UncountedRelease, Level::Native);
    }
    if config.replicas >= 3 {
        found.set(C::SurvivesNodeLoss, Level::Native);
    }
    found.limits.max_body = Some(match config.max_body {
        0 if server.at_least(4, 0) => MAX_BODY,
        0 => MAX_BODY_BEFORE_4,
        given => given,
    });
    found.limits.max_delay = Some(LONGEST_DELAY);
    debug_assert!(LONGEST_DELAY < Duration::from_millis(u32::MAX.into()));
    found
}
