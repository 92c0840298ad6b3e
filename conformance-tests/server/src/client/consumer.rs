//! The consuming half: a receiver and a settler on one connection.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pontoon_core::Result;
use pontoon_core::driver::{Disposition, Inbox, Late, Receiver, Settled, Settler, Token};

use super::news::{Both, News};
use super::shared::Shared;
use super::socket::closed;
use crate::protocol::{Kind, Put};

/// The receiving half of one generation. The server hands over what was asked for, and no more.
pub struct ServerReceiver {
    shared: Arc<Shared>,
}

/// The settling half of one generation. A settlement is final when it is in the server's file.
pub struct ServerSettler {
    shared: Arc<Shared>,
    /// What was recorded when the flush that is going on began.
    flushing: Option<u64>,
}

pub(super) fn halves(shared: Arc<Shared>) -> (ServerReceiver, ServerSettler) {
    (ServerReceiver { shared: shared.clone() }, ServerSettler { shared, flushing: None })
}

impl Receiver for ServerReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        Both::keep(&self.shared.both.receiver, cx.waker());
        let mut state = self.shared.lock();
        let wanted = max.saturating_sub(state.granted + state.arrived.len());
        if wanted > 0 && !state.stop_asked {
            state.granted += wanted;
            state.put(Kind::Credit, |to| to.put_u32(wanted as u32));
        }
        let news = self.shared.pump(&mut state);
        let received = match &state.dead {
            Some(dead) => Poll::Ready(Err(dead.clone())),
            None => {
                let count = max.min(state.arrived.len());
                let told = count > 0 || !state.lost.is_empty();
                let out = &mut *state;
                out.arrived.drain(..count).for_each(|incoming| into.message(incoming));
                out.lost.drain(..).for_each(|token| into.lease_lost(token));
                if told { Poll::Ready(Ok(())) } else { Poll::Pending }
            }
        };
        drop(state);
        self.shared.tell(news.but_receiver());
        received
    }

    fn hold(&mut self, _source: u32, held: bool) {
        let mut state = self.shared.lock();
        state.put(Kind::Hold, |to| to.push(u8::from(held)));
        let news = self.shared.pump(&mut state);
        drop(state);
        self.shared.tell(news);
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        Both::keep(&self.shared.both.receiver, cx.waker());
        let mut state = self.shared.lock();
        if !state.stop_asked {
            state.stop_asked = true;
            state.put(Kind::Stop, |_| {});
        }
        let news = self.shared.pump(&mut state);
        let out = &mut *state;
        out.arrived.drain(..).for_each(|incoming| into.message(incoming));
        out.lost.drain(..).for_each(|token| into.lease_lost(token));
        let stopped = match &state.dead {
            Some(dead) => Poll::Ready(Err(dead.clone())),
            None if state.stopped => Poll::Ready(Ok(())),
            None => Poll::Pending,
        };
        drop(state);
        self.shared.tell(news.but_receiver());
        stopped
    }
}

impl Drop for ServerReceiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        if !state.stop_asked && state.dead.is_none() {
            // What was handed out can still be settled.
            state.stop_asked = true;
            state.put(Kind::Stop, |_| {});
            let news = self.shared.pump(&mut state);
            drop(state);
            self.shared.tell(news.but_receiver());
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Appends a settlement; says whether there is such a one here.
fn put_settlement(to: &mut Vec<u8>, position: u64, disposition: &Disposition<'_>) -> bool {
    to.put_u64(position);
    match disposition {
        Disposition::Ack => to.push(0),
        Disposition::Release => to.push(1),
        Disposition::Retry { after, failures } => {
            to.push(2);
            to.put_u64(nanos(*after));
            to.put_u32(*failures);
        }
        Disposition::Extend { by } => {
            to.push(3);
            to.put_u64(nanos(*by));
        }
        // Replacing is declared absent.
        _ => {
            to.truncate(to.len() - 8);
            return false;
        }
    }
    true
}

impl Settler for ServerSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        let mut state = self.shared.lock();
        let before = state.recorded;
        let mut settlements = Vec::new();
        for (token, disposition) in what {
            let valid = *token == state.token(token.position) && state.out.contains(&token.position);
            let recorded = valid && put_settlement(&mut settlements, token.position, disposition);
            if recorded {
                state.recorded += 1;
                if !matches!(disposition, Disposition::Extend { .. }) {
                    state.out.remove(&token.position);
                }
            }
            answers.push(if recorded { Settled::Recorded } else { Settled::Stale });
        }
        if state.recorded == before {
            return;
        }
        state.put(Kind::Settle, |to| to.append(&mut settlements));
        let news = self.shared.pump(&mut state);
        drop(state);
        self.shared.tell(news);
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        Both::keep(&self.shared.both.settler, cx.waker());
        let mut state = self.shared.lock();
        let until = *self.flushing.get_or_insert(state.recorded);
        let news = self.shared.pump(&mut state);
        late.append(&mut state.late);
        let flushed = match &state.dead {
            _ if state.settled >= until => Poll::Ready(Ok(())),
            Some(dead) => Poll::Ready(Err(dead.clone())),
            None => Poll::Pending,
        };
        drop(state);
        self.shared.tell(news.but_settler());
        if flushed.is_ready() {
            self.flushing = None;
        }
        flushed
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let flushed = self.poll_flush(cx, late);
        if flushed.is_ready() {
            self.shared.lock().die(closed("settle"));
            self.shared.tell(News { receiver: true, ..News::default() });
        }
        flushed
    }
}

impl fmt::Debug for ServerReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerReceiver")
    }
}

impl fmt::Debug for ServerSettler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSettler")
    }
}
