//! Declaring, asking depth, purging.

use pontoon_core::driver::Transport;
use pontoon_core::{Channel, ChannelKind, Error, Message, Result, Source, Subscription};

use super::core::Core;
use super::outbox::Outbox;
use super::session::{done, malformed};
use crate::hurt::{Hurt, take_hurt};
use crate::journal::{Queue, Record};
use crate::protocol::{Kind, Malformed, Put, Take, frame, put_error, take_ensure};

/// Answers one request.
///
/// # Errors
/// What ends the connection: a request that cannot be understood, a file that cannot be written.
pub(super) async fn answer(kind: Kind, request: &mut Take, core: &Core, outbox: &Outbox) -> Result<()> {
    match kind {
        Kind::Ensure => {
            let ensure = take_ensure(request).map_err(malformed)?;
            match core.transport.ensure(&ensure).await {
                Ok(()) => {
                    core.declared(&ensure);
                    done(outbox, core.write()?, 0);
                }
                Err(error) => refuse(outbox, &error),
            }
        }
        Kind::Depth => {
            let (_, source) = take_source(request)?;
            let extensions = core.transport.extensions();
            let depth = extensions.depth.ok_or_else(|| malformed(Malformed("the model tells no depth")))?;
            match depth.depth(&source).await {
                Ok(report) => {
                    let mut answer = Vec::new();
                    frame::put(&mut answer, Kind::Depths, |to| {
                        to.put_u64(report.ready);
                        to.put_u64(report.delayed.unwrap_or(0));
                        to.put_u64(report.in_flight.unwrap_or(0));
                    });
                    outbox.push(0, answer);
                }
                Err(error) => refuse(outbox, &error),
            }
        }
        Kind::Purge => purge(request, core, outbox).await?,
        Kind::Hurt => hurt(request, core, outbox)?,
        _ => return Err(malformed(Malformed("this request belongs to a producer or a consumer"))),
    }
    Ok(())
}

async fn purge(request: &mut Take, core: &Core, outbox: &Outbox) -> Result<()> {
    let (queue, source) = take_source(request)?;
    // Looked at and purged without anything in between: the model answers at once.
    let held = match &queue.subscription {
        None => core.memory.queue(&queue.channel),
        Some(subscription) => core.memory.subscription(&queue.channel, subscription),
    };
    let extensions = core.transport.extensions();
    let purge = extensions.purge.ok_or_else(|| malformed(Malformed("the model purges nothing")))?;
    match purge.purge(&source).await {
        Ok(gone) => {
            for message in held.iter().flat_map(pontoon_memory::QueueSnapshot::ready) {
                if let pontoon_core::BrokerId::Number(number) = message.broker_id {
                    core.journal.append(&Record::<&Message>::Gone { queue: queue.clone(), number });
                }
            }
            done(outbox, core.write()?, gone);
        }
        Err(error) => refuse(outbox, &error),
    }
    Ok(())
}

fn hurt(request: &mut Take, core: &Core, outbox: &Outbox) -> Result<()> {
    match take_hurt(request).map_err(malformed)? {
        Hurt::Cut => core.cut.send_replace(()),
        Hurt::Freeze => core.frozen.send_replace(()),
        Hurt::Delete(channel) => core.delete(&channel),
        Hurt::Fault(fault, chance) => core.memory.faults().set(fault, chance),
        Hurt::Heal => core.memory.faults().clear(),
    }
    done(outbox, core.write()?, 0);
    Ok(())
}

/// Answers why it was not done; the connection goes on.
pub(super) fn refuse(outbox: &Outbox, error: &Error) {
    let mut answer = Vec::new();
    frame::put(&mut answer, Kind::Failed, |to| put_error(to, error));
    outbox.push(0, answer);
}

/// A queue or subscription by its names.
pub(super) fn take_source(request: &mut Take) -> Result<(Queue, Source)> {
    let channel = request.text().map_err(malformed)?;
    let subscription = request.option().map_err(malformed)?;
    let kind = if subscription.is_some() { ChannelKind::Topic } else { ChannelKind::Queue };
    let read_through = subscription.as_deref().map(Subscription::new).transpose()?;
    let source = Source::new(Channel::existing(&*channel, kind)?, read_through)?;
    Ok((Queue { channel, subscription }, source))
}
