//! A transport with a defect: the publishing half.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use pontoon_core::driver::{
    AnyProducer, Batch, CompletionSink, Completions, MessageBatch, OpenProducer, Producer, Ticket,
};
use pontoon_core::{Channel, Error, Message, MessageId, PublishOutcome, Result};

use super::{Defect, Fate};

/// The generation of tickets that the engine never gave: their outcomes are heard by nobody.
const UNHEARD: u32 = u32::MAX;

/// Stands between the transport and the engine.
pub(super) struct Sink {
    channel: Channel,
    defect: Arc<dyn Defect>,
    engine: Completions,
    ids: Mutex<HashMap<Ticket, MessageId>>,
}

/// Lets outcomes pass through the defect.
pub(super) fn intercept(how: &mut OpenProducer, defect: Arc<dyn Defect>) -> Arc<Sink> {
    let (channel, engine) = (how.channel.clone(), how.completions.clone());
    let sink = Arc::new(Sink { channel, defect, engine, ids: Mutex::default() });
    how.completions = Completions::new(sink.clone());
    sink
}

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        let mut told = Vec::new();
        for (ticket, outcome) in outcomes.drain(..) {
            let id = self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&ticket);
            if let Some(id) = id
                && let Some(outcome) = self.defect.outcome(&self.channel, &id, outcome)
            {
                told.push((ticket, outcome));
            }
        }
        self.engine.complete(&mut told);
    }
}

impl Sink {
    /// The generation is dead: what the defect says of messages that have no outcome.
    fn tell_open(&self) {
        let Some(outcome) = self.defect.at_death(&self.channel) else { return };
        let open = std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let mut told = open.into_keys().map(|ticket| (ticket, outcome.clone())).collect();
        self.engine.complete(&mut told);
    }

    fn expect(&self, ticket: Ticket, id: MessageId) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(ticket, id);
    }
}

/// The publishing half of a transport with a defect.
pub struct MutantProducer {
    inner: AnyProducer,
    channel: Channel,
    defect: Arc<dyn Defect>,
    sink: Arc<Sink>,
    /// Taken from the engine, not yet by the transport.
    onward: MessageBatch,
    unheard: u32,
    dead: Option<Error>,
}

impl MutantProducer {
    pub(super) fn new(inner: AnyProducer, channel: Channel, defect: Arc<dyn Defect>, sink: Arc<Sink>) -> Self {
        MutantProducer { inner, channel, defect, sink, onward: MessageBatch::new(), unheard: 0, dead: None }
    }

    fn pass(&mut self, ticket: Ticket, message: Message) {
        self.sink.expect(ticket, message.id.clone());
        self.onward.push(ticket, message);
    }

    fn pass_unheard(&mut self, message: Message) {
        self.unheard += 1;
        self.onward.push(Ticket { slot: self.unheard, generation: UNHEARD }, message);
    }

    /// Offers the transport what was taken, until it has all.
    fn poll_onward(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let mut rest = Batch::new(&mut self.onward);
        while !rest.is_empty() {
            ready!(self.inner.poll_submit(cx, &mut rest))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Producer for MutantProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        if let Some(error) = &self.dead {
            return Poll::Ready(Err(error.clone()));
        }
        // Nothing new before the transport has taken what was taken before: its back-pressure passes through.
        ready!(self.poll_onward(cx))?;
        let mut messages = Vec::new();
        while let Some((ticket, message)) = batch.peek() {
            messages.push((ticket, message.clone()));
            batch.pop();
        }
        self.defect.batch(&self.channel, &mut messages);
        let mut told = Vec::new();
        for (ticket, message) in messages {
            match self.defect.submit(&self.channel, message) {
                Fate::Pass(message) => self.pass(ticket, message),
                Fate::Told(outcome, message) => {
                    told.push((ticket, outcome));
                    message.into_iter().for_each(|message| self.pass_unheard(message));
                }
                Fate::Beside(message, others) => {
                    self.pass(ticket, message);
                    others.into_iter().for_each(|other| self.pass_unheard(other));
                }
            }
        }
        self.sink.engine.complete(&mut told);
        if let Poll::Ready(Err(error)) = self.poll_onward(cx) {
            // Messages were taken, so this call succeeded; the next poll tells.
            self.dead = Some(error);
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let died = match &self.dead {
            Some(error) => Poll::Ready(error.clone()),
            None => match self.poll_onward(cx) {
                Poll::Ready(Err(error)) => Poll::Ready(error),
                _ => self.inner.poll_drive(cx),
            },
        };
        if died.is_ready() {
            self.sink.tell_open();
        }
        match died {
            Poll::Ready(error) => self.defect.died(&self.channel, error).map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        // The transport makes room by being driven.
        if self.dead.is_none() && self.poll_onward(cx)?.is_pending() {
            return match self.inner.poll_drive(cx) {
                Poll::Ready(error) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            };
        }
        self.inner.poll_close(cx)
    }
}

impl fmt::Debug for MutantProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutantProducer")
    }
}
