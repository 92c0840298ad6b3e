//! A TCP proxy between a client and its broker, in the process of the test: what a network can do, on demand.
//!
//! It delays, slows down, slices, falls silent, loses, cuts and resets, in either direction, on all its connections. It
//! never invents a byte and never reorders: what arrives is a prefix of what was sent. It knows nothing of protocols.

mod connection;
mod impairments;
mod lane;
mod strikes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use impairments::{Direction, Impairments};
pub use strikes::{Counts, Picks};

use strikes::Strikes;

/// A TCP proxy in front of one address. Its tasks run on the runtime it was opened in, and end with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    upstream: SocketAddr,
    /// Raised to reset every connection.
    resets: watch::Sender<u64>,
    requests: watch::Sender<Impairments>,
    replies: watch::Sender<Impairments>,
    strikes: Strikes,
}

impl State {
    fn impairments(&self, direction: Direction) -> &watch::Sender<Impairments> {
        match direction {
            Direction::Request => &self.requests,
            Direction::Reply => &self.replies,
        }
    }
}

impl Proxy {
    /// Listens on a free port of this machine and passes everything on to this address. What is drawn by chance is drawn
    /// from `seed`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open(upstream: SocketAddr, seed: u64) -> io::Result<Self> {
        Self::open_picking(upstream, seed, |_, _| true).await
    }

    /// The same; only pieces that `picks` chooses are lost or break off. For protocols with many round trips before the
    /// first message, where striking anywhere would rarely strike a message.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn open_picking(upstream: SocketAddr, seed: u64, picks: Picks) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream,
            resets: watch::Sender::new(0),
            requests: watch::Sender::default(),
            replies: watch::Sender::default(),
            strikes: Strikes::new(seed, picks),
        });
        tokio::spawn(connection::accept(listener, state.clone()));
        Ok(Proxy { address, state })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it did so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.strikes.counts()
    }

    /// Lets one direction of all connections, present and future, suffer this from now on.
    pub fn impair(&self, direction: Direction, impairments: Impairments) {
        self.state.impairments(direction).send_replace(impairments);
    }

    /// Resets every connection (RST); new ones work.
    pub fn cut(&self) {
        self.state.resets.send_modify(|count| *count += 1);
    }

    /// Keeps connections open and passes nothing on, or passes on again what was held up.
    pub fn hush(&self, silent: bool) {
        for direction in Direction::BOTH {
            self.state.impairments(direction).send_modify(|impairments| impairments.silent = silent);
        }
    }

    /// After so many more bytes in this direction, of all connections together, the connection that carries the next one
    /// is reset: the bytes before it arrive, none after it. Once.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.state.strikes.cut_after(direction, Some(bytes));
    }

    /// So many of the next pieces in this direction vanish, each with its connection: a lost reply is a request that was
    /// served and never answered.
    pub fn lose(&self, direction: Direction, pieces: u64) {
        self.state.strikes.lose(direction, pieces);
    }

    /// So many of the next pieces of either direction break off somewhere within, each with its connection, at moments
    /// drawn by chance.
    pub fn break_off(&self, pieces: u64) {
        self.state.strikes.break_off(pieces);
    }

    /// Passes everything on again.
    pub fn heal(&self) {
        for direction in Direction::BOTH {
            self.lose(direction, 0);
            self.state.strikes.cut_after(direction, None);
            self.impair(direction, Impairments::default());
        }
        self.break_off(0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
