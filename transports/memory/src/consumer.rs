//! The consuming half: a receiver with its timer, and a settler.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use pontoon_core::driver::{Disposition, Inbox, Late, LateKind, Receiver, Settled, Settler, Token};
use pontoon_core::{Result, Source};
use tokio::time::Sleep;

use crate::clock::{Nanos, Now};
use crate::error;
use crate::faults::Fault;
use crate::link::Link;
use crate::queue::{ConsumerId, Queue, Received};
use crate::replace;
use crate::server::Shared;
use crate::wakes::Wakes;

/// The receiving half of one generation.
#[derive(Debug)]
pub struct MemoryReceiver {
    server: Arc<Shared>,
    queue: Arc<Queue>,
    id: ConsumerId,
    link: Arc<Link>,
    source: Source,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Wakes the queue, not the engine: a lease ends at its time whether or not this receiver is polled.
    alarm: Waker,
}

/// The settling half of one generation.
#[derive(Debug)]
pub struct MemorySettler {
    server: Arc<Shared>,
    queue: Arc<Queue>,
    id: ConsumerId,
    link: Arc<Link>,
    late: Vec<Late>,
}

pub(crate) fn halves(
    server: Arc<Shared>,
    queue: Arc<Queue>,
    id: ConsumerId,
    link: Arc<Link>,
    source: Source,
) -> (MemoryReceiver, MemorySettler) {
    let alarm = Waker::from(Arc::new(Alarm { queue: queue.clone(), id }));
    let receiver = MemoryReceiver {
        server: server.clone(),
        queue: queue.clone(),
        id,
        link: link.clone(),
        source,
        sleep: None,
        alarm,
    };
    (receiver, MemorySettler { server, queue, id, link, late: Vec::new() })
}

/// What a receiver's timer wakes.
struct Alarm {
    queue: Arc<Queue>,
    id: ConsumerId,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut wakes = Wakes::default();
        self.queue.lock().alarm(self.id, self.queue.clock.now(), &mut wakes);
        wakes.wake();
    }
}

impl MemoryReceiver {
    /// Sets the timer. Not under the queue's lock: the timer may fire at once.
    fn set_alarm(&mut self, at: Nanos) {
        if tokio::runtime::Handle::try_current().is_err() {
            // Without a runtime there are no timers: deadlines are then only seen when somebody works on the queue.
            self.queue.lock().alarm_not_set(self.id);
            return;
        }
        let at = self.queue.clock.instant(at);
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        let mut cx = Context::from_waker(&self.alarm);
        // Unconstrained: a task that used up its share of polls must not miss the setting of a timer.
        if pin!(tokio::task::unconstrained(sleep.as_mut())).poll(&mut cx).is_ready() {
            self.alarm.wake_by_ref();
        }
    }
}

/// A fault of the queue that is worked on: a lease ends early.
fn end_some_lease(server: &Shared, queue: &Queue) {
    let mut wakes = Wakes::default();
    let mut state = queue.lock();
    let leases = state.leases();
    if leases > 0 && server.faults.strike(Fault::ExpireLease) {
        state.end_nth_lease(server.faults.below(leases), &mut wakes);
    }
    drop(state);
    wakes.wake();
}

impl MemoryReceiver {
    /// Faults of a receive; says whether the generation is dead.
    fn strike(&self, max: usize) -> bool {
        end_some_lease(&self.server, &self.queue);
        let busy = max > 0 && self.queue.lock().depth().0 > 0;
        let dies = busy && self.server.faults.strike(Fault::DropConnection);
        if dies {
            self.link.cut(error::connection_lost("receive"));
        }
        dies
    }
}

impl Receiver for MemoryReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        if let Some(why) = self.link.dead() {
            return Poll::Ready(Err(why.clone()));
        }
        if self.server.faults.active() && self.strike(max) {
            return Poll::Ready(Err(error::connection_lost("receive")));
        }
        let mut wakes = Wakes::default();
        let mut now = Now::of(self.queue.clock);
        let (received, alarm) = self.queue.lock().receive(self.id, into, max, cx.waker(), &mut now, &mut wakes);
        wakes.wake();
        if let Some(at) = alarm {
            self.set_alarm(at);
        }
        match received {
            Received::Some => Poll::Ready(Ok(())),
            Received::Nothing => Poll::Pending,
            Received::Gone => Poll::Ready(Err(error::no_such_source("receive", &self.source))),
            Received::Detached => {
                Poll::Ready(Err(self.link.dead().cloned().unwrap_or_else(|| error::connection_lost("receive"))))
            }
        }
    }

    fn hold(&mut self, _source: u32, held: bool) {
        let mut wakes = Wakes::default();
        self.queue.lock().hold(self.id, held, &mut wakes);
        wakes.wake();
    }

    fn poll_stop(&mut self, _cx: &mut Context<'_>, _into: &mut Inbox) -> Poll<Result<()>> {
        if let Some(why) = self.link.dead() {
            return Poll::Ready(Err(why.clone()));
        }
        let mut wakes = Wakes::default();
        self.queue.lock().stop_taking(self.id, &mut wakes);
        wakes.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for MemoryReceiver {
    fn drop(&mut self) {
        let mut wakes = Wakes::default();
        self.queue.lock().stop_receiving(self.id, &mut wakes);
        wakes.wake();
    }
}

impl MemorySettler {
    /// Does the whole slice in one step.
    fn apply(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        if what.iter().any(|(_, disposition)| matches!(disposition, Disposition::Replace { .. })) {
            return replace::record(&self.server, &self.queue, self.id, what, answers, &mut self.late);
        }
        let mut wakes = Wakes::default();
        let mut now = Now::of(self.queue.clock);
        let mut state = self.queue.lock();
        state.settle_all(self.id, what, answers, &mut now, &mut wakes);
        state.wake_ready(&mut wakes);
        drop(state);
        wakes.wake();
    }

    /// Does what the faults leave of the slice.
    fn record_with_faults(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        let faults = &self.server.clone().faults;
        end_some_lease(&self.server, &self.queue);
        let dies = !what.is_empty() && faults.strike(Fault::DropConnection);
        let done = if dies { faults.below(what.len() + 1) } else { what.len() };
        // What is left out is answered as the client would: recorded, as far as it knows.
        let mut kept = Vec::new();
        let mut left_out = Vec::new();
        for (at, (token, disposition)) in what.iter().enumerate() {
            let fails = at < done
                && !matches!(disposition, Disposition::Extend { .. })
                && self.is_leased(*token)
                && faults.strike(Fault::FailSettle);
            if fails {
                self.late.push(failed(*token, error::settlement_failed()));
            }
            let applied = at < done && !fails;
            left_out.push(!applied && (fails || self.is_leased(*token)));
            if applied {
                kept.push((*token, *disposition));
            }
        }
        let mut applied = Vec::new();
        self.apply(&kept, &mut applied);
        let mut applied = applied.into_iter();
        for (at, left_out) in left_out.into_iter().enumerate() {
            let answer = match (left_out, at < done) {
                (true, _) => Settled::Recorded,
                (false, true) => applied.next().unwrap_or(Settled::Stale),
                (false, false) => Settled::Stale,
            };
            answers.push(answer);
        }
        if dies {
            self.link.cut(error::connection_lost("settle"));
        }
    }

    fn is_leased(&self, token: Token) -> bool {
        let mut wakes = Wakes::default();
        let mut now = Now::of(self.queue.clock);
        let leased = self.queue.lock().is_leased(self.id, token, &mut now, &mut wakes);
        wakes.wake();
        leased
    }
}

impl Settler for MemorySettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        if self.server.faults.active() {
            self.record_with_faults(what, answers);
        } else {
            self.apply(what, answers);
        }
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        late.append(&mut self.late);
        match self.link.dead() {
            Some(why) => Poll::Ready(Err(why.clone())),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        late.append(&mut self.late);
        let _ = cx;
        self.link.cut(error::closed("settle"));
        Poll::Ready(Ok(()))
    }
}

/// A settlement that did not become final, while its lease holds.
pub(crate) fn failed(token: Token, error: pontoon_core::Error) -> Late {
    Late { token, kind: LateKind::Failed(error) }
}
