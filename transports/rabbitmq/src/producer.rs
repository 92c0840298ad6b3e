//! The publishing half: one confirm channel, driven by nobody else.
//!
//! The client library attaches a returned message to whichever publish is answered next, in the order of a hash table
//! where one frame answers many. Never to a later frame, though: a return comes before its own answer. So answers are
//! held until the frame they came in has been looked at as a whole, and returns are matched by message id.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use pontoon_core::driver::{Batch, Completions, OpenProducer, Producer, Ticket};
use pontoon_core::{Error, PublishOutcome, Receipt, Rejection, Result};

use crate::connection::Connections;
use crate::error;
use crate::live::{Line, Link};
use crate::route::{Router, To};
use crate::window::{Answer, Answered, News, Window};
use crate::wire;

/// How often one drive looks again before it lets others run.
const ROUNDS: usize = 4;

/// The publishing half of one generation.
pub struct RabbitProducer {
    line: Arc<Line>,
    /// Wakes this when the connection is lost.
    link: Arc<Link>,
    connections: Arc<Connections>,
    router: Router,
    window: Window,
    completions: Completions,
    outcomes: Vec<(Ticket, PublishOutcome)>,
    /// Answered, and not yet known to be looked at with its whole frame.
    news: News,
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    closed: bool,
}

impl RabbitProducer {
    pub(crate) fn new(line: Line, connections: Arc<Connections>, how: OpenProducer, max_body: u64) -> Self {
        let line = Arc::new(line);
        let window = connections.config().window;
        RabbitProducer {
            router: Router::new(how.channel, max_body, line.clone(), connections.clone()),
            link: line.live.link(),
            line,
            connections,
            window: Window::new(window.min(how.max_in_flight).max(1)),
            completions: how.completions,
            outcomes: Vec::new(),
            news: News::default(),
            closing: None,
            closed: false,
        }
    }

    /// Why this generation is dead.
    fn dead(&self) -> Option<Error> {
        if self.connections.is_closed() || self.closed {
            return Some(error::closed("publish"));
        }
        if let Some(lost) = &self.window.lost {
            return Some(lost.clone());
        }
        let gone = !self.line.is_open();
        gone.then(|| error::lost("publish", "the channel to RabbitMQ was closed"))
    }

    /// Looks at what was answered, and completes what is certain.
    fn drive(&mut self) -> Result<()> {
        for _ in 0..ROUNDS {
            self.window.collect(&mut self.news);
            if self.news.answered.is_empty() {
                return Ok(());
            }
            self.whole_frames();
            // What was answered by the same frames, with the returns that belong to any of them.
            let answered = std::mem::take(&mut self.news.answered);
            self.window.collect(&mut self.news);
            for message in self.news.returned.drain(..) {
                let (read, _) = wire::read(&message.delivery.properties, Vec::new());
                if !self.window.mark_returned(&read.message.id) {
                    let defect = "RabbitMQ handed back a message that is not out";
                    self.window.lost.get_or_insert_with(|| error::lost("publish", defect));
                    return Ok(());
                }
            }
            for at in answered {
                if let Some(answered) = self.window.finish(at) {
                    self.outcomes.push((answered.ticket, self.router.outcome(answered)));
                }
            }
            self.completions.complete(&mut self.outcomes);
        }
        self.window.ready.again();
        Ok(())
    }

    /// Ends when the frame that is being worked on, if any, has answered all that it answers: the client holds one lock
    /// for a whole frame, and this takes that lock.
    fn whole_frames(&self) {
        let _ = pin!(self.line.channel.wait_for_confirms()).poll(&mut Context::from_waker(Waker::noop()));
    }
}

impl Producer for RabbitProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        self.window.ready.watch(cx.waker());
        if let Some(dead) = self.dead() {
            return Poll::Ready(Err(dead));
        }
        let mut taken = false;
        while let Some((ticket, message)) = batch.peek() {
            if !self.window.takes(&message.id) {
                break;
            }
            match self.router.publish(message) {
                Ok((to, publish)) => {
                    self.window.begin(ticket, message.id.clone(), to, publish, &mut self.news);
                }
                Err(refused) => self.outcomes.push((ticket, PublishOutcome::Rejected(Rejection::Refused(refused)))),
            }
            batch.pop();
            taken = true;
        }
        self.completions.complete(&mut self.outcomes);
        if !self.news.answered.is_empty() || self.window.lost.is_some() {
            self.window.ready.again();
        }
        if taken { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        self.window.ready.watch(cx.waker());
        self.link.watch(cx.waker());
        if let Err(error) = self.drive() {
            return Poll::Ready(error);
        }
        match self.dead() {
            Some(dead) => Poll::Ready(dead),
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(error) = self.poll_drive(cx) {
            self.closed = true;
            return Poll::Ready(if self.window.is_empty() { Ok(()) } else { Err(error) });
        }
        if !self.window.is_empty() {
            return Poll::Pending;
        }
        let line = self.line.clone();
        let closing = self.closing.get_or_insert_with(|| {
            Box::pin(async move {
                let _ = line.channel.close(200, "closed".into()).await;
            })
        });
        if closing.as_mut().poll(cx).is_pending() && !self.line.live.is_lost() {
            return Poll::Pending;
        }
        self.closed = true;
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for RabbitProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RabbitProducer")
    }
}

impl Router {
    /// What the broker's answer means.
    fn outcome(&self, answered: Answered) -> PublishOutcome {
        match answered.answer {
            Answer::NotSent(error) => PublishOutcome::Rejected(Rejection::TryAgain(error)),
            // Of a fan-out another queue may keep it.
            Answer::Nacked => PublishOutcome::Unknown(error::lost("publish", "RabbitMQ did not store the message")),
            Answer::Acked if !answered.returned => {
                let routed = matches!(answered.to, To::Topic).then_some(true);
                PublishOutcome::Confirmed(Receipt { routed, ..Receipt::default() })
            }
            Answer::Acked => self.returned(answered.to),
        }
    }
}
