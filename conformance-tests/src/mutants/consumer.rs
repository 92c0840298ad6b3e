//! A transport with a defect: the receiving and the settling half.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use pontoon_core::driver::{
    AnyReceiver, AnySettler, Arrival, Disposition, Inbox, Late, Receiver, Settled, Settler, Token,
};
use pontoon_core::{Result, Source};

use super::{Deed, Defect, Seat};

/// What both halves know.
struct Shared {
    source: Source,
    reader: u64,
    stopping: AtomicBool,
    /// The tokens that are held, oldest first.
    out: Mutex<Vec<Token>>,
}

impl Shared {
    fn out(&self) -> MutexGuard<'_, Vec<Token>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seat(&self) -> Seat<'_> {
        Seat { source: &self.source, reader: self.reader, stopping: self.stopping.load(Ordering::SeqCst) }
    }
}

/// The receiving half of a transport with a defect.
pub struct MutantReceiver {
    inner: AnyReceiver,
    defect: Arc<dyn Defect>,
    shared: Arc<Shared>,
    arrived: Inbox,
}

/// The settling half of a transport with a defect.
pub struct MutantSettler {
    inner: AnySettler,
    defect: Arc<dyn Defect>,
    shared: Arc<Shared>,
    /// Acks that were answered and are still to be done.
    later: Vec<Token>,
}

pub(super) fn halves(
    receiver: AnyReceiver,
    settler: AnySettler,
    source: Source,
    defect: Arc<dyn Defect>,
) -> (MutantReceiver, MutantSettler) {
    static READERS: AtomicU64 = AtomicU64::new(0);
    let reader = READERS.fetch_add(1, Ordering::Relaxed);
    let shared = Arc::new(Shared { source, reader, stopping: AtomicBool::new(false), out: Mutex::default() });
    let receiver =
        MutantReceiver { inner: receiver, defect: defect.clone(), shared: shared.clone(), arrived: Inbox::new() };
    (receiver, MutantSettler { inner: settler, defect, shared, later: Vec::new() })
}

impl MutantReceiver {
    fn hand_on(&mut self, into: &mut Inbox) -> bool {
        let mut some = false;
        while let Some(arrival) = self.arrived.pop() {
            match arrival {
                Arrival::Message(mut incoming) => {
                    for _ in 0..self.defect.arrive(self.shared.seat(), &mut incoming) {
                        self.shared.out().push(incoming.token);
                        into.message((*incoming).clone());
                        some = true;
                    }
                }
                Arrival::LeaseLost(token) => {
                    if self.defect.tells_lost_lease(self.shared.seat()) {
                        into.lease_lost(token);
                        some = true;
                    }
                }
                Arrival::Revoking { source, generation, within } => {
                    into.revoking(source, generation, within);
                    some = true;
                }
                Arrival::Revoked { source, generation } => {
                    into.revoked(source, generation);
                    some = true;
                }
            }
        }
        some
    }
}

impl Receiver for MutantReceiver {
    fn poll_receive(&mut self, cx: &mut Context<'_>, into: &mut Inbox, max: usize) -> Poll<Result<()>> {
        let max = self.defect.demand(self.shared.seat(), max);
        loop {
            match self.inner.poll_receive(cx, &mut self.arrived, max) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    return match self.defect.died(&self.shared.source.channel, error) {
                        Some(error) => Poll::Ready(Err(error)),
                        None => Poll::Pending,
                    };
                }
                Poll::Ready(Ok(())) if self.hand_on(into) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
        }
    }

    fn hold(&mut self, source: u32, held: bool) {
        self.inner.hold(source, held);
    }

    fn poll_stop(&mut self, cx: &mut Context<'_>, into: &mut Inbox) -> Poll<Result<()>> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        let end = self.inner.poll_stop(cx, &mut self.arrived);
        self.hand_on(into);
        end
    }
}

impl MutantSettler {
    fn catch_up(&mut self, kept: usize) {
        let due = self.later.len().saturating_sub(kept);
        let owed: Vec<_> = self.later.drain(..due).map(|token| (token, Disposition::Ack)).collect();
        if !owed.is_empty() {
            self.inner.record(&owed, &mut Vec::new());
        }
    }

    fn one(&mut self, token: Token, what: Disposition<'_>) -> Settled {
        let deed = {
            let out = self.shared.out();
            self.defect.settle(self.shared.seat(), token, what, &out)
        };
        if !matches!(what, Disposition::Extend { .. }) {
            self.shared.out().retain(|held| *held != token);
        }
        let mut answers = Vec::new();
        match deed {
            Deed::Pretend(answer) => return answer,
            Deed::Later => {
                self.later.push(token);
                return Settled::Recorded;
            }
            Deed::Do(what) => self.inner.record(&[(token, what)], &mut answers),
            Deed::With(what, others) => {
                self.inner.record(&[(token, what)], &mut answers);
                self.shared.out().retain(|held| !others.iter().any(|(other, _)| other == held));
                self.inner.record(&others, &mut Vec::new());
            }
        }
        let answer = answers.first().copied().unwrap_or(Settled::Stale);
        self.defect.answer(self.shared.seat(), &what, answer)
    }

    fn sift(&self, from: usize, late: &mut Vec<Late>) {
        let found = late.split_off(from);
        late.extend(found.into_iter().filter_map(|late| self.defect.late(self.shared.seat(), late)));
    }
}

impl Settler for MutantSettler {
    fn record(&mut self, what: &[(Token, Disposition<'_>)], answers: &mut Vec<Settled>) {
        self.catch_up(self.defect.keeps_back());
        for (token, disposition) in what {
            let answer = self.one(*token, *disposition);
            answers.push(answer);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let from = late.len();
        let end = self.inner.poll_flush(cx, late);
        self.sift(from, late);
        end
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, late: &mut Vec<Late>) -> Poll<Result<()>> {
        let from = late.len();
        self.catch_up(0);
        let end = self.inner.poll_close(cx, late);
        self.sift(from, late);
        end
    }
}

macro_rules! opaque_debug {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    )*};
}
opaque_debug!(MutantReceiver, MutantSettler);
