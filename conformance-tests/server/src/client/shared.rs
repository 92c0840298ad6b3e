//! What the two halves of a consumer share: the connection, and what came over it for either.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pontoon_core::driver::{Incoming, Late, LateKind, Token};
use pontoon_core::{BrokerId, Error};

use super::link::Link;
use super::news::{Both, News};
use super::socket::{Socket, closed, malformed};
use crate::protocol::{Kind, Malformed, Take, frame, take_error, take_message};

/// How many frames one poll takes.
const FRAMES: usize = 256;

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) both: Arc<Both>,
    waker: Waker,
}

impl Shared {
    pub(super) fn new(socket: Socket, connection: u32, link: Arc<Link>) -> Arc<Self> {
        let both = Arc::new(Both::default());
        let waker = Waker::from(both.clone());
        let state = State {
            socket: Some(socket),
            link,
            connection,
            out: HashSet::new(),
            arrived: VecDeque::new(),
            lost: VecDeque::new(),
            granted: 0,
            stop_asked: false,
            stopped: false,
            recorded: 0,
            settled: 0,
            late: Vec::new(),
            dead: None,
        };
        Arc::new(Shared { state: Mutex::new(state), both, waker })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends and receives what can be. The news are to be told when the lock is released.
    pub(super) fn pump(&self, state: &mut State) -> News {
        state.pump(&mut Context::from_waker(&self.waker))
    }

    /// Wakes whom there is news for. Never under the lock: a waker may run what it wakes.
    pub(super) fn tell(&self, news: News) {
        self.both.tell(news);
    }
}

pub(super) struct State {
    /// Gone with the generation, so that the server takes back what was out.
    socket: Option<Socket>,
    link: Arc<Link>,
    /// Of this generation's tokens.
    pub(super) connection: u32,
    /// Positions that were handed out, or arrived, and are neither settled nor lost.
    pub(super) out: HashSet<u64>,
    pub(super) arrived: VecDeque<Incoming>,
    pub(super) lost: VecDeque<Token>,
    /// Deliveries that were asked for and did not arrive.
    pub(super) granted: usize,
    pub(super) stop_asked: bool,
    pub(super) stopped: bool,
    /// Settlements that were sent, and those that are final.
    pub(super) recorded: u64,
    pub(super) settled: u64,
    pub(super) late: Vec<Late>,
    pub(super) dead: Option<Error>,
}

impl State {
    pub(super) fn token(&self, position: u64) -> Token {
        Token { position, source: 0, generation: self.connection }
    }

    /// Ends this generation: no lease of it is valid any more.
    pub(super) fn die(&mut self, why: Error) {
        self.dead.get_or_insert(why);
        self.socket = None;
        self.out.clear();
        self.arrived.clear();
        self.lost.clear();
    }

    /// Adds a frame to what is to be sent.
    pub(super) fn put(&mut self, kind: Kind, fill: impl FnOnce(&mut Vec<u8>)) {
        if let Some(socket) = &mut self.socket {
            frame::put(socket.out(), kind, fill);
        }
    }

    fn pump(&mut self, cx: &mut Context<'_>) -> News {
        let mut news = News::default();
        self.link.watch(cx.waker());
        if self.link.is_ended() && self.dead.is_none() {
            self.die(closed("use connection"));
            return News::FOR_BOTH;
        }
        // Nothing new: whoever found the end has told it.
        let Some(mut socket) = self.socket.take() else { return News::default() };
        let unsent = match socket.poll_flush(cx) {
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        };
        let mut taken = 0;
        let end = loop {
            if taken == FRAMES {
                news.again = true;
                break None;
            }
            taken += 1;
            match socket.poll_next(cx) {
                Poll::Pending => break None,
                Poll::Ready(Err(error)) => break Some(error),
                Poll::Ready(Ok((kind, frame))) => {
                    if let Err(what) = self.take(kind, frame, &mut news) {
                        break Some(malformed(what, "receive"));
                    }
                }
            }
        };
        match end.or(unsent) {
            Some(why) => {
                self.die(why);
                News::FOR_BOTH
            }
            None => {
                self.socket = Some(socket);
                news
            }
        }
    }

    fn take(&mut self, kind: Kind, mut from: Take, news: &mut News) -> Result<(), Malformed> {
        match kind {
            Kind::Delivery => {
                let incoming = self.delivery(&mut from)?;
                self.granted = self.granted.saturating_sub(1);
                self.out.insert(incoming.token.position);
                self.arrived.push_back(incoming);
                news.receiver = true;
            }
            Kind::LeaseLost => {
                let position = from.u64()?;
                // One that is settled meanwhile comes back as stale; one that was not handed over yet never is.
                if self.out.remove(&position) {
                    let token = self.token(position);
                    match self.arrived.iter().position(|incoming| incoming.token == token) {
                        Some(at) => drop(self.arrived.remove(at)),
                        None => self.lost.push_back(token),
                    }
                    news.receiver = true;
                }
            }
            Kind::Stopped => {
                self.stopped = true;
                news.receiver = true;
            }
            Kind::Settled => {
                self.settled = from.u64()?;
                while !from.is_empty() {
                    let position = from.u64()?;
                    let kind = if from.flag()? {
                        // Its lease holds: it can be settled again.
                        self.out.insert(position);
                        LateKind::Failed(take_error(&mut from, "settle")?)
                    } else {
                        self.out.remove(&position);
                        LateKind::Stale
                    };
                    self.late.push(Late { token: self.token(position), kind });
                }
                news.settler = true;
            }
            _ => return Err(Malformed("this answer belongs to another connection")),
        }
        Ok(())
    }

    fn delivery(&self, from: &mut Take) -> Result<Incoming, Malformed> {
        let token = self.token(from.u64()?);
        let broker_id = BrokerId::Number(from.u64()?);
        let (deliveries, failures, expired) = (from.u32()?, from.u32()?, from.flag()?);
        let read = take_message(from)?;
        let mut incoming = Incoming::new(token, read.message);
        incoming.broker_id = broker_id;
        incoming.deliveries = Some(deliveries);
        incoming.failures = failures;
        incoming.expired = expired;
        incoming.undecodable = read.problem;
        Ok(incoming)
    }
}
