//! The publishing half: takes what it is offered, tampers, and passes the rest on as the transport has room.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pontoon_core::driver::{AnyProducer, Batch, Completions, MessageBatch, Producer};
use pontoon_core::{Error, Result};

use super::Choice;
use super::lose::Lose;
use super::swap::Swap;

pub(super) enum Tamper {
    Nothing,
    Lose(Lose),
    Swap(Swap),
}

impl Tamper {
    pub(super) fn lose(choice: &Arc<Choice>, completions: Completions) -> Self {
        Tamper::Lose(Lose::new(choice.clone(), completions))
    }

    pub(super) fn swap(choice: &Arc<Choice>, completions: &mut Completions) -> Self {
        Tamper::Swap(Swap::new(choice.clone(), completions))
    }
}

pub(super) struct TamperedProducer {
    inner: AnyProducer,
    tamper: Tamper,
    /// Taken from the engine, not yet by the transport.
    onward: MessageBatch,
    /// Why the transport's half died after messages had been taken.
    dead: Option<Error>,
}

impl TamperedProducer {
    pub(super) fn new(inner: AnyProducer, tamper: Tamper) -> Self {
        TamperedProducer { inner, tamper, onward: MessageBatch::new(), dead: None }
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

impl Producer for TamperedProducer {
    fn poll_submit(&mut self, cx: &mut Context<'_>, batch: &mut Batch<'_>) -> Poll<Result<()>> {
        if let Tamper::Nothing = self.tamper {
            return self.inner.poll_submit(cx, batch);
        }
        if let Some(error) = &self.dead {
            return Poll::Ready(Err(error.clone()));
        }
        // Nothing new before the transport has taken what was taken before: its back-pressure passes through.
        ready!(self.poll_onward(cx))?;
        while let Some((ticket, message)) = batch.peek() {
            let message = message.clone();
            match &mut self.tamper {
                Tamper::Nothing => {}
                Tamper::Lose(lose) => lose.meet(ticket, message, &mut self.onward),
                Tamper::Swap(swap) => swap.meet(ticket, message, &mut self.onward),
            }
            batch.pop();
        }
        match &mut self.tamper {
            Tamper::Nothing => {}
            Tamper::Lose(lose) => lose.lie(),
            Tamper::Swap(swap) => swap.poll_patience(cx, &mut self.onward),
        }
        if let Poll::Ready(Err(error)) = self.poll_onward(cx) {
            // Messages were taken, so this call succeeded; the next poll_drive tells.
            self.dead = Some(error);
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if let Some(error) = &self.dead {
            return Poll::Ready(error.clone());
        }
        if let Tamper::Swap(swap) = &mut self.tamper {
            swap.poll_patience(cx, &mut self.onward);
        }
        if let Poll::Ready(Err(error)) = self.poll_onward(cx) {
            return Poll::Ready(error);
        }
        self.inner.poll_drive(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Tamper::Swap(swap) = &mut self.tamper {
            swap.release(&mut self.onward);
        }
        if self.dead.is_none() {
            // The transport makes room by being driven.
            if self.poll_onward(cx)?.is_pending() {
                return match self.inner.poll_drive(cx) {
                    Poll::Ready(error) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                };
            }
        }
        self.inner.poll_close(cx)
    }
}
