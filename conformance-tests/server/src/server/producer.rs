//! A connection that publishes.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use pontoon_core::driver::{
    Batch, BatchSource, CompletionSink, Completions, MessageBatch, OpenProducer, Producer, Ticket, Transport,
};
use pontoon_core::{BrokerId, Channel, ChannelKind, Message, PublishOutcome, Receipt, Rejection, Result};

use super::core::Core;
use super::outbox::Outbox;
use super::session::{Requests, done, malformed};
use crate::journal::Record;
use crate::protocol::{Kind, Malformed, Put, Take, frame, put_error, take_message};

/// How many messages are stored before their records are written.
const BATCH: usize = 256;

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(outcomes);
    }
}

pub(super) async fn serve(open: &mut Take, mut requests: Requests, core: &Core, outbox: &Outbox) -> Result<()> {
    let name = open.text().map_err(malformed)?;
    let sink = Arc::new(Sink::default());
    let channel = Channel::existing(&*name, ChannelKind::Queue)?;
    let how = OpenProducer::new(channel, 1, Completions::new(sink.clone()));
    let mut producer = core.transport.open_producer(how).await?.producer;
    done(outbox, 0, 0);
    while let Some((kind, request)) = requests.next().await? {
        let mut messages = vec![take(kind, request)?];
        // A request that is wrong ends the connection, once what came before it has its outcomes.
        let mut wrong = None;
        while messages.len() < BATCH {
            match requests.ready().and_then(|next| next.map(|(kind, request)| take(kind, request)).transpose()) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    wrong = Some(error);
                    break;
                }
            }
        }
        let mut batch = MessageBatch::new();
        for (slot, message) in messages.iter().enumerate() {
            batch.push(Ticket { slot: slot as u32, generation: 0 }, message.clone());
        }
        while !batch.is_empty() {
            tokio::select! {
                biased;
                taken = poll_fn(|cx| producer.poll_submit(cx, &mut Batch::new(&mut batch))) => taken?,
                // Nobody waits for room any more.
                () = requests.ended() => return Ok(()),
            }
            // Stored and written down without anything in between.
            let outcomes = std::mem::take(&mut *sink.0.lock().unwrap_or_else(PoisonError::into_inner));
            answer(&name, &messages, &outcomes, core, outbox)?;
        }
        if let Some(error) = wrong {
            return Err(error);
        }
        outbox.room().await;
    }
    Ok(())
}

fn take(kind: Kind, mut request: Take) -> Result<Message> {
    if kind != Kind::Publish {
        return Err(malformed(Malformed("a producer only publishes")));
    }
    let read = take_message(&mut request).map_err(malformed)?;
    match read.problem {
        None => Ok(read.message),
        Some(problem) => Err(problem),
    }
}

fn answer(
    channel: &str,
    messages: &[Message],
    outcomes: &[(Ticket, PublishOutcome)],
    core: &Core,
    outbox: &Outbox,
) -> Result<()> {
    let at = core.now();
    for (ticket, outcome) in outcomes {
        if let PublishOutcome::Confirmed(Receipt { broker_id: BrokerId::Number(number), .. }) = outcome {
            let message = &messages[ticket.slot as usize];
            core.journal.append(&Record::Stored { channel: channel.to_owned(), number: *number, at, message });
        }
    }
    let position = core.write()?;
    let mut told = Vec::new();
    frame::put(&mut told, Kind::Outcomes, |to| {
        for (_, outcome) in outcomes {
            match outcome {
                PublishOutcome::Confirmed(receipt) => {
                    to.push(0);
                    to.put_u64(if let BrokerId::Number(number) = receipt.broker_id { number } else { 0 });
                    to.push(u8::from(receipt.routed != Some(false)));
                }
                PublishOutcome::Rejected(Rejection::Refused(error)) => {
                    to.push(1);
                    put_error(to, error);
                }
                PublishOutcome::Rejected(Rejection::TryAgain(error)) => {
                    to.push(2);
                    put_error(to, error);
                }
                PublishOutcome::Unknown(error) => {
                    to.push(3);
                    put_error(to, error);
                }
            }
        }
    });
    outbox.push(position, told);
    Ok(())
}
