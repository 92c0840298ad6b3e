//! What each profile can do, and why.

use pontoon_core::Capability::{self as Can, *};
use pontoon_core::Level::{Absent, Emulated, Native};
use pontoon_core::{Capabilities, Channel, ChannelKind, Level, MAX_DURATION};

use crate::RedisConfig;
use crate::server::Server;

/// The capabilities of a channel on this server.
pub(crate) fn of(channel: &Channel, server: &Server, config: &RedisConfig) -> Capabilities {
    let kind = match channel.kind {
        ChannelKind::Queue => "queue",
        ChannelKind::Topic => "topic",
    };
    let Server { program, version: (major, minor), .. } = server;
    let mut found = Capabilities::new(format!("{program}-{major}.{minor}-{kind}"));
    for &capability in Can::ALL {
        found.set(capability, level(capability, server));
    }
    found.limits.max_body = Some(config.max_body);
    found.limits.max_delay = Some(MAX_DURATION);
    // A server out of memory refuses one command of a pipeline and may take the next.
    found.behaviour.one_unresolved_per_key = channel.order.is_ordered();
    found.behaviour.returns_in_place = true;
    found
}

fn level(capability: Can, server: &Server) -> Level {
    let when = |is: bool| if is { Native } else { Absent };
    match capability {
        // Streams with an owner that holds a lease.
        OrderPerKey => Emulated,
        // Deliveries by the group's list of what is pending, failures by a header of the copies.
        AttemptCount | CrashLoopNet => Emulated,
        // Given to a consumer that does not exist, with the count put back.
        UncountedRelease => Emulated,
        // A key that runs out, and scripts that look at it.
        Lease | LeaseExtension | StaleDetection => Emulated,
        // One script each.
        RejectWithReason | AtomicReplace | RetryDelay | PublishDelay | Purge => Emulated,
        // On receipt, by the server's clock.
        MessageTtl => Emulated,
        AckConfirmed | AtMostOnce | FanOut | Depth => Native,
        SurvivesProcessCrash => when(server.written),
        SurvivesPowerLoss => when(server.synced),
        _ => Absent,
    }
}
