//! The driver seam by hand: for promises of a transport that the engine hides.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use pontoon_core::driver::{
    AnyProducer, AnyReceiver, AnySettler, AnyTransport, Arrival, Batch, CompletionSink, Completions, Disposition,
    Inbox, Incoming, Late, MessageBatch, OpenConsumer, OpenProducer, Producer, Receiver, Settled, Settler, Ticket,
    Token, Transport,
};
use pontoon_core::{Channel, Message, PublishOutcome, Result};

use super::{Broken, Held, Place, Scene, hold};

#[derive(Default)]
struct Sink(Mutex<Vec<(Ticket, PublishOutcome)>>);

impl CompletionSink for Sink {
    fn complete(&self, outcomes: &mut Vec<(Ticket, PublishOutcome)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(outcomes);
    }
}

/// One generation of a producer, driven by hand.
#[derive(Debug)]
pub struct RawProducer {
    producer: AnyProducer,
    sink: Arc<Sink>,
    tickets: u32,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sink")
    }
}

impl RawProducer {
    /// Opens a generation.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn open(transport: &AnyTransport, channel: &Channel) -> Result<Self> {
        let sink = Arc::new(Sink::default());
        let how = OpenProducer::new(channel.clone(), 1, Completions::new(sink.clone()));
        let producer = transport.open_producer(how).await?.producer;
        Ok(RawProducer { producer, sink, tickets: 0 })
    }

    /// Submits all and waits until each has its outcome, or the generation is dead; outcomes in the order of the
    /// messages, `None` for those that had none.
    ///
    /// # Errors
    /// `stall` when neither happens; `late-completion` for an outcome that nobody asked for, or a second one.
    pub async fn publish(&mut self, scene: &Scene, messages: Vec<Message>) -> Held<Vec<Option<PublishOutcome>>> {
        let first = self.tickets;
        let mut batch = MessageBatch::new();
        for message in messages {
            batch.push(Ticket { slot: self.tickets, generation: 1 }, message);
            self.tickets += 1;
        }
        let count = (self.tickets - first) as usize;
        let mut found: Vec<Option<PublishOutcome>> = vec![None; count];
        let (producer, sink) = (&mut self.producer, &self.sink);
        let done = poll_fn(|cx| {
            let mut dead = false;
            while !pontoon_core::driver::BatchSource::is_empty(&batch) && !dead {
                match producer.poll_submit(cx, &mut Batch::new(&mut batch)) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(_)) => dead = true,
                    Poll::Pending => break,
                }
            }
            dead |= producer.poll_drive(cx).is_ready();
            for (ticket, outcome) in sink.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                let place = ticket.slot.checked_sub(first).and_then(|at| found.get_mut(at as usize));
                match place {
                    Some(place @ None) => *place = Some(outcome),
                    _ => return Poll::Ready(Err(Broken::new("late-completion", format!("{ticket:?}: {outcome:?}")))),
                }
            }
            if dead || found.iter().all(Option::is_some) { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        scene.in_time("outcomes at the driver seam", done).await??;
        Ok(found)
    }
}

/// One generation of a consumer, driven by hand.
#[derive(Debug)]
pub struct RawConsumer {
    receiver: AnyReceiver,
    settler: AnySettler,
    inbox: Inbox,
}

impl RawConsumer {
    /// Opens a generation.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn open(transport: &AnyTransport, place: &Place, generation: u32) -> Result<Self> {
        let how = OpenConsumer::new(place.source()?, generation);
        let opened = transport.open_consumer(how).await?;
        Ok(RawConsumer { receiver: opened.receiver, settler: opened.settler, inbox: Inbox::new() })
    }

    /// So many messages.
    ///
    /// # Errors
    /// `stall` when they do not come; `unexpected-error` when the generation dies.
    pub async fn take(&mut self, scene: &Scene, count: usize) -> Held<Vec<Incoming>> {
        let mut all = Vec::new();
        let taking = async {
            while all.len() < count {
                match self.inbox.pop() {
                    Some(Arrival::Message(incoming)) => all.push(*incoming),
                    Some(_) => {}
                    None => {
                        let room = count - all.len();
                        poll_fn(|cx| self.receiver.poll_receive(cx, &mut self.inbox, room)).await?;
                    }
                }
            }
            Ok::<(), Broken>(())
        };
        scene.in_time("messages at the driver seam", taking).await??;
        Ok(all)
    }

    /// Records one settlement.
    ///
    /// # Errors
    /// `answers` when there is not exactly one answer.
    pub fn settle(&mut self, token: Token, what: Disposition<'_>) -> Held<Settled> {
        let mut answers = Vec::new();
        self.settler.record(&[(token, what)], &mut answers);
        hold!(answers.len() == 1, "answers", "one settlement had {} answers", answers.len());
        Ok(answers[0])
    }

    /// Flushes; what was not final as recorded.
    ///
    /// # Errors
    /// `stall` when it does not end; `unexpected-error` when the generation dies.
    pub async fn flush(&mut self, scene: &Scene) -> Held<Vec<Late>> {
        let mut late = Vec::new();
        let flushing = poll_fn(|cx| self.settler.poll_flush(cx, &mut late));
        scene.in_time("a flush at the driver seam", flushing).await??;
        Ok(late)
    }
}
