//! Events as `tracing` events: the hook of a broker that is given none.

use pontoon_core::{Event, EventHook, EventKind};
use tracing::level_filters::LevelFilter;
use tracing::{debug, error, info, trace, warn};

/// Writes every event to `tracing`, target `pontoon`. A broker that is given no hook has this one; a hook of your own
/// can pass events on to it.
///
/// | Level | Events |
/// |---|---|
/// | error | a successor (retry copy, dead letter) could not be stored |
/// | warn | publish failed, dead-lettered, dropped, order spilled, disconnected, lease lost, stale, abandoned, degraded |
/// | info | reconnected |
/// | debug | retried |
/// | trace | published, delivered, settled |
///
/// Which levels are enabled is asked once, when a publisher or subscription opens: what happens for every message
/// costs nothing unless `trace` is enabled by then.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingHook;

fn level(kind: EventKind) -> LevelFilter {
    match kind {
        EventKind::Published | EventKind::Delivered | EventKind::Settled => LevelFilter::TRACE,
        EventKind::Retried => LevelFilter::DEBUG,
        EventKind::Reconnected => LevelFilter::INFO,
        EventKind::SuccessorFailed => LevelFilter::ERROR,
        _ => LevelFilter::WARN,
    }
}

impl EventHook for TracingHook {
    fn wants(&self, kind: EventKind) -> bool {
        LevelFilter::current() >= level(kind)
    }

    fn on_event(&self, event: &Event<'_>) {
        match event {
            Event::Published { channel, id, broker_id } => {
                trace!(target: "pontoon", channel = %channel.name, %id, %broker_id, "published");
            }
            Event::PublishFailed { channel, id, error, resend_in } => {
                warn!(target: "pontoon", channel = %channel.name, %id, %error, ?resend_in, "publish failed");
            }
            Event::Delivered { source, id, attempt } => {
                trace!(target: "pontoon", %source, %id, %attempt, "delivered");
            }
            Event::Settled { source, id, released } => {
                trace!(target: "pontoon", %source, %id, released, "settled");
            }
            Event::Retried { source, id, attempt, after, error } => {
                debug!(target: "pontoon", %source, %id, %attempt, ?after, error, "retried");
            }
            Event::DeadLettered { source, id, reason, attempt } => {
                warn!(target: "pontoon", %source, %id, %reason, %attempt, "dead-lettered");
            }
            Event::SuccessorFailed { source, id, error } => {
                error!(target: "pontoon", %source, %id, %error, "the successor could not be stored");
            }
            Event::Disconnected { channel, error, retry_in } => {
                warn!(target: "pontoon", channel = %channel.name, %error, ?retry_in, "disconnected");
            }
            Event::Reconnected { channel, generation } => {
                info!(target: "pontoon", channel = %channel.name, generation, "reconnected");
            }
            Event::LeaseLost { source, id } => warn!(target: "pontoon", %source, %id, "lease lost"),
            Event::Stale { source, id } => warn!(target: "pontoon", %source, %id, "settled too late"),
            Event::Abandoned { source, id } => warn!(target: "pontoon", %source, %id, "abandoned"),
            Event::Dropped { source, id, reason } => warn!(target: "pontoon", %source, %id, ?reason, "dropped"),
            Event::OrderSpilled { source, id } => warn!(target: "pontoon", %source, %id, "order spilled"),
            Event::Degraded { channel, error } => {
                warn!(target: "pontoon", channel = %channel.name, %error, "degraded");
            }
            // Kinds that a later version adds.
            other => debug!(target: "pontoon", event = ?other, "event"),
        }
    }
}
