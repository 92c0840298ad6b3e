//! A RabbitMQ that nobody else uses, started the way `cargo xtask brokers` starts it: to be killed.
#![allow(dead_code, unreachable_pub)] // each test binary uses its part

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pontoon_core::{Error, ErrorKind, Result};
use xtask::brokers::place::Place;
use xtask::brokers::state::{Extras, State};
use xtask::brokers::table::{self, Broker};
use xtask::brokers::{native, take_down};

/// There is one node.
const NODE: u16 = 1;

/// A queue that was declared so long ago outlives a kill: the broker keeps the last part of what it says of a declaration
/// for up to two seconds before it writes it.
pub const SAFE_AFTER: Duration = Duration::from_millis(2_500);

/// A broker with a folder of its own, both gone when it is dropped.
pub struct Server {
    place: Place,
    broker: &'static Broker,
    state: Mutex<State>,
    address: SocketAddr,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "run rabbitmq", what.to_string())
}

impl Server {
    /// Starts the broker that `cargo xtask brokers` knows by this name; blocks until it is healthy.
    ///
    /// # Errors
    /// When it is not installed, or does not get healthy.
    pub fn start(name: &str) -> Result<Self> {
        let broker = table::find(name).ok_or_else(|| wrong("there is no such broker"))?;
        let mut place = Place::find().map_err(wrong)?;
        if !xtask::brokers::installed(&place, broker) {
            return Err(wrong("it is not installed").with_help("run `cargo xtask test -p pontoon-rabbitmq`"));
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        place.state =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{number}", std::process::id()));
        native::up(&place, broker, Extras::default()).map_err(wrong)?;
        let state = State::read(&place, broker).map_err(wrong)?.ok_or_else(|| wrong("it has no state"))?;
        let port = state.ports.first().copied().ok_or_else(|| wrong("it has no port"))?;
        Ok(Server { place, broker, address: ([127, 0, 0, 1], port).into(), state: Mutex::new(state) })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills it without a word.
    ///
    /// # Errors
    /// When there is nothing to kill.
    pub fn kill(&self) -> Result<()> {
        native::kill(self.broker, &self.state(), NODE).map_err(wrong)
    }

    /// Starts it where it does not run, on what it had stored; blocks until it is healthy.
    ///
    /// # Errors
    /// When it does not get healthy.
    pub fn up(&self) -> Result<()> {
        native::start(&self.place, self.broker, &mut self.state(), &[NODE]).map_err(wrong)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = take_down(&self.place, &[self.broker], true);
        let removed = xtask::brokers::place::remove(&self.place.state);
        if let Err(problem) = ended.and(removed) {
            eprintln!("ending {}: {problem}", self.broker.name);
        }
    }
}
