//! What was published and has no outcome yet.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hashbrown::HashMap;
use lapin::Confirmation;
use lapin::message::BasicReturnMessage;
use pontoon_core::driver::Ticket;
use pontoon_core::{Error, MessageId};

use crate::ready::Ready;
use crate::route::To;

/// What becomes of one publish: the broker's confirmation, or why there was none.
pub(crate) type Publish = Pin<Box<dyn Future<Output = Result<Confirmation, Failed>> + Send>>;

/// Why a publish has no confirmation.
pub(crate) enum Failed {
    /// This message was not sent; the others go on.
    NotSent(Error),
    /// The channel is gone.
    Lost(Error),
}

/// How one publish ended, as far as its own answer tells.
pub(crate) enum Answer {
    Acked,
    Nacked,
    NotSent(Error),
}

/// One publish with its answer.
pub(crate) struct Answered {
    pub(crate) ticket: Ticket,
    pub(crate) to: To,
    pub(crate) answer: Answer,
    /// The broker handed it back: it reached no queue.
    pub(crate) returned: bool,
}

/// What was heard, and not looked at yet.
#[derive(Default)]
pub(crate) struct News {
    /// Which publishes have their answer.
    pub(crate) answered: Vec<usize>,
    /// What came back with any of these answers.
    pub(crate) returned: Vec<BasicReturnMessage>,
}

struct Cell {
    ticket: Ticket,
    id: MessageId,
    to: To,
    publish: Option<Publish>,
    answer: Option<Answer>,
    returned: bool,
}

/// Places for so many publishes, each with a waker of its own.
pub(crate) struct Window {
    cells: Vec<Option<Cell>>,
    wakers: Vec<Waker>,
    free: Vec<usize>,
    by_id: HashMap<MessageId, usize>,
    pub(crate) ready: Arc<Ready>,
    /// Why the channel is gone.
    pub(crate) lost: Option<Error>,
}

impl Window {
    pub(crate) fn new(size: usize) -> Self {
        let ready = Ready::new(size);
        Window {
            cells: (0..size).map(|_| None).collect(),
            wakers: (0..size).map(|number| ready.waker(number)).collect(),
            free: (0..size).rev().collect(),
            by_id: HashMap::with_capacity(size),
            ready,
            lost: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.cells.len()
    }

    /// Whether a message of this id can be published now. Two of one id are never out together: what the broker hands
    /// back is told apart by its id.
    pub(crate) fn takes(&self, id: &MessageId) -> bool {
        !self.free.is_empty() && !self.by_id.contains_key(id)
    }

    /// Publishes: the first look at the future sends. It may have its answer already.
    pub(crate) fn begin(&mut self, ticket: Ticket, id: MessageId, to: To, publish: Publish, news: &mut News) {
        let Some(at) = self.free.pop() else { return };
        self.by_id.insert(id.clone(), at);
        self.cells[at] = Some(Cell { ticket, id, to, publish: Some(publish), answer: None, returned: false });
        self.look(at, news);
    }

    /// Looks at all that were woken.
    pub(crate) fn collect(&mut self, news: &mut News) {
        let ready = self.ready.clone();
        ready.take(|at| self.look(at, news));
    }

    fn look(&mut self, at: usize, news: &mut News) {
        let Some(cell) = &mut self.cells[at] else { return };
        let Some(publish) = &mut cell.publish else { return };
        let mut cx = Context::from_waker(&self.wakers[at]);
        let Poll::Ready(ended) = publish.as_mut().poll(&mut cx) else { return };
        cell.publish = None;
        let (answer, with) = match ended {
            Ok(Confirmation::Ack(with)) => (Answer::Acked, with),
            Ok(Confirmation::Nack(with)) => (Answer::Nacked, with),
            Ok(Confirmation::NotRequested) => {
                let defect = "the client asked for no confirmation";
                self.lost.get_or_insert_with(|| crate::error::lost("publish", defect));
                return;
            }
            Err(Failed::NotSent(error)) => (Answer::NotSent(error), None),
            Err(Failed::Lost(error)) => {
                // It stays open: what the channel took with it is unknown, and the engine says so.
                self.lost.get_or_insert(error);
                return;
            }
        };
        cell.answer = Some(answer);
        news.answered.push(at);
        news.returned.extend(with);
    }

    /// The message of this id was handed back; whether one is out.
    pub(crate) fn mark_returned(&mut self, id: &MessageId) -> bool {
        let Some(&at) = self.by_id.get(id) else { return false };
        self.cells[at].as_mut().map(|cell| cell.returned = true).is_some()
    }

    /// Takes one that has its answer out of the window.
    pub(crate) fn finish(&mut self, at: usize) -> Option<Answered> {
        let cell = self.cells[at].take()?;
        self.by_id.remove(&cell.id);
        self.free.push(at);
        Some(Answered { ticket: cell.ticket, to: cell.to, answer: cell.answer?, returned: cell.returned })
    }
}
