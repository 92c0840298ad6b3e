//! The publishing half.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use pontoon_core::driver::{Batch, Completions, OpenProducer, Producer, Ticket};
use pontoon_core::{BrokerId, Error, ErrorKind, PublishOutcome, Receipt, Rejection, Result};

use super::link::Link;
use super::socket::{OUT_BOUND, Socket, closed, lost, malformed};
use crate::protocol::{Kind, Malformed, Take, frame, put_message, take_error};

/// How many answers of the server one poll takes.
const ANSWERS: usize = 64;

/// The publishing half of one generation: a connection of its own. A message is Confirmed when it is in the server's
/// file, as durable as the server was told to be.
#[derive(Debug)]
pub struct ServerProducer {
    socket: Socket,
    link: Arc<Link>,
    completions: Completions,
    max_in_flight: usize,
    max_body: u64,
    /// Sent and not yet answered, in order.
    open: VecDeque<Ticket>,
    /// Kept for its memory.
    outcomes: Vec<(Ticket, PublishOutcome)>,
    dead: Option<Error>,
}

impl ServerProducer {
    pub(super) fn new(socket: Socket, link: Arc<Link>, how: OpenProducer, max_body: u64) -> Self {
        ServerProducer {
            socket,
            link,
            completions: how.completions,
            max_in_flight: how.max_in_flight.max(1),
            max_body,
            open: VecDeque::new(),
            outcomes: Vec::new(),
            dead: None,
        }
    }

    /// Sends and receives what can be, and completes what is known. Sets `dead` when the connection is.
    fn pump(&mut self, cx: &mut Context<'_>) {
        self.link.watch(cx.waker());
        if self.link.is_ended() {
            self.dead.get_or_insert_with(|| closed("publish"));
        }
        if self.dead.is_none()
            && let Poll::Ready(Err(error)) = self.socket.poll_flush(cx)
        {
            // What was answered before is still to be read, and tells more than that nobody listens any more.
            self.dead = Some(self.receive(cx).unwrap_or(error));
        } else if self.dead.is_none() {
            self.dead = self.receive(cx);
        }
        self.completions.complete(&mut self.outcomes);
    }

    /// Takes answers, a bounded number of them; gives what ends the connection.
    fn receive(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        for _ in 0..ANSWERS {
            match self.socket.poll_next(cx) {
                Poll::Pending => return None,
                Poll::Ready(Err(error)) => return Some(error),
                Poll::Ready(Ok((Kind::Outcomes, mut answer))) => {
                    while !answer.is_empty() {
                        if let Err(what) = self.outcome(&mut answer) {
                            return Some(malformed(what, "publish"));
                        }
                    }
                }
                Poll::Ready(Ok(_)) => return Some(malformed(Malformed("outcomes were due"), "publish")),
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    fn outcome(&mut self, from: &mut Take) -> Result<(), Malformed> {
        let outcome = match from.u8()? {
            0 => {
                let broker_id = BrokerId::Number(from.u64()?);
                PublishOutcome::Confirmed(Receipt { broker_id, routed: Some(from.flag()?) })
            }
            1 => PublishOutcome::Rejected(Rejection::Refused(take_error(from, "publish")?)),
            2 => PublishOutcome::Rejected(Rejection::TryAgain(take_error(from, "publish")?)),
            3 => PublishOutcome::Unknown(take_error(from, "publish")?),
            _ => return Err(Malformed("an outcome is of an unknown kind")),
        };
        let ticket = self.open.pop_front().ok_or(Malformed("an outcome was not asked for"))?;
        self.outcomes.push((ticket, outcome));
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.open.len() < self.max_in_flight && self.socket.waiting() < OUT_BOUND
    }
}

impl Producer for ServerProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        if !self.has_room() {
            self.pump(cx);
        }
        if self.link.is_ended() {
            self.dead.get_or_insert_with(|| closed("publish"));
        }
        if let Some(dead) = &self.dead {
            return Poll::Ready(Err(dead.clone()));
        }
        if !self.has_room() {
            return Poll::Pending;
        }
        while self.has_room()
            && let Some((ticket, message)) = batch.peek()
        {
            let bytes = message.body.len();
            if bytes as u64 > self.max_body {
                self.outcomes.push((ticket, too_large(bytes, self.max_body)));
            } else {
                frame::put(self.socket.out(), Kind::Publish, |to| put_message(to, message));
                self.open.push_back(ticket);
            }
            batch.pop();
        }
        // A connection that ends here took the messages with it: the next poll says so.
        self.pump(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.pump(cx);
        match &self.dead {
            Some(dead) => Poll::Ready(dead.clone()),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.pump(cx);
        match &self.dead {
            _ if self.open.is_empty() && self.socket.waiting() == 0 => {
                self.dead.get_or_insert_with(|| closed("publish"));
                Poll::Ready(Ok(()))
            }
            Some(_) => Poll::Ready(Err(lost("close producer"))),
            None => Poll::Pending,
        }
    }
}

fn too_large(bytes: usize, limit: u64) -> PublishOutcome {
    let error =
        Error::new(ErrorKind::TooLarge, "publish", format!("the body has {bytes} bytes, at most {limit} are allowed"))
            .with_help("send a reference to the data instead, or start the server with a larger `max_body`");
    PublishOutcome::Rejected(Rejection::Refused(error))
}
