//! A Redis process of a check's own, started the way `cargo xtask brokers` starts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pontoon_core::{Error, ErrorKind, Result};
use rustix::process::Signal;
use xtask::brokers::place::Place;
use xtask::brokers::state::{Extras, State};
use xtask::brokers::table::{self, Broker, SOCKET, offset};
use xtask::brokers::{self, native, take_down};

use crate::common::Other;

/// Redis has one node.
const NODE: u16 = 1;

/// What a stream is called while its name refuses everything.
const ASIDE: &str = "aside:";

/// A server with a folder of its own, both gone when it is dropped.
pub(crate) struct Server {
    place: Place,
    broker: &'static Broker,
    state: Mutex<State>,
    address: SocketAddr,
}

static NEXT: AtomicU64 = AtomicU64::new(0);

fn wrong(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Internal, "run redis", what.to_string())
}

#[allow(dead_code)] // each test binary uses its part
impl Server {
    pub(crate) fn start(name: &str) -> Result<Self> {
        Self::start_with(name, Extras::default())
    }

    pub(crate) fn start_with(name: &str, extras: Extras) -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("redis-{}-{number}", std::process::id());
        Self::start_in(name, extras, PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder))
    }

    /// Starts one whose state, its data among it, is in this folder.
    pub(crate) fn start_in(name: &str, extras: Extras, folder: PathBuf) -> Result<Self> {
        let broker = table::find(name).ok_or_else(|| wrong("there is no such broker"))?;
        let mut place = Place::find().map_err(wrong)?;
        if !xtask::brokers::installed(&place, broker) {
            return Err(wrong("it is not installed").with_help("run `cargo xtask conformance`"));
        }
        place.state = folder;
        if extras.tls {
            brokers::bring_up(&place, &[broker], extras, true).map_err(wrong)?;
        } else {
            native::up(&place, broker, extras).map_err(wrong)?;
        }
        let state = State::read(&place, broker).map_err(wrong)?.ok_or_else(|| wrong("it has no state"))?;
        let port = state.ports.first().copied().ok_or_else(|| wrong("it has no port"))?;
        Ok(Server { place, broker, address: ([127, 0, 0, 1], port).into(), state: Mutex::new(state) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port on which it speaks TLS, when it was started so.
    pub(super) fn tls_port(&self) -> u16 {
        self.address.port() + offset::TLS
    }

    /// The socket on which it listens, beside its ports.
    pub(super) fn socket(&self) -> PathBuf {
        self.place.broker(self.broker.name).join("1/data").join(SOCKET)
    }

    /// A file made for TLS, such as `ca.pem`.
    pub(super) fn certificate(&self, file: &str) -> String {
        self.place.state.join("tls").join(file).display().to_string()
    }

    fn with_state(&self, work: impl FnOnce(&mut State) -> xtask::report::Outcome<()>) -> Result<()> {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)).map_err(wrong)
    }

    pub(crate) fn pause(&self) -> Result<()> {
        self.with_state(|state| native::signal(self.broker, state, NODE, Signal::STOP))
    }

    pub(crate) fn kill(&self) -> Result<()> {
        self.with_state(|state| native::kill(self.broker, state, NODE))
    }

    /// Starts it again after a [`kill`](Self::kill).
    pub(crate) fn start_again(&self) -> Result<()> {
        self.with_state(|state| native::start(&self.place, self.broker, state, &[NODE]))
    }

    pub(crate) fn restart(&self) -> Result<()> {
        self.kill()?;
        self.start_again()
    }

    fn other(&self) -> Other {
        Other::at(&format!("redis://{}", self.address))
    }

    /// Runs a script beside whatever goes on.
    fn run(&self, script: &str) -> Result<()> {
        let answer = self.other().ask(&["EVAL", script, "0"]);
        if answer.starts_with('-') { Err(wrong(answer)) } else { Ok(()) }
    }

    /// Whatever takes dead letters is of another type from now on.
    pub(super) fn refuse_dead_letters(&self) -> Result<()> {
        self.run(&format!(
            "for _, facts in ipairs(redis.call('KEYS', '{{*}}--facts')) do \
                if redis.call('HGET', facts, 'takes_dead_letters') == '1' then \
                    local stream = string.match(facts, '^{{(.*)}}%-%-facts$') \
                    redis.call('RENAME', stream, '{ASIDE}' .. stream) \
                    redis.call('SET', stream, 'refused') \
                end \
            end"
        ))
    }

    pub(super) fn expire_leases(&self) -> Result<()> {
        self.run(
            "for _, pattern in ipairs({'{*}--lease--*', '{*}--owner--*'}) do \
                for _, key in ipairs(redis.call('KEYS', pattern)) do redis.call('DEL', key) end \
            end",
        )
    }

    pub(super) fn delete(&self, channel: &str) -> Result<()> {
        self.run(&format!(
            "redis.call('DEL', '{channel}') \
            for _, key in ipairs(redis.call('KEYS', '{{{channel}}}--*')) do redis.call('DEL', key) end"
        ))
    }

    /// Ends whatever lasts.
    pub(super) fn heal(&self) -> Result<()> {
        self.with_state(|state| native::signal(self.broker, state, NODE, Signal::CONT))?;
        self.run(&format!(
            "for _, key in ipairs(redis.call('KEYS', '{ASIDE}*')) do \
                redis.call('RENAME', key, string.sub(key, {} + 1)) \
            end",
            ASIDE.len()
        ))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = take_down(&self.place, &[self.broker], true);
        let removed = xtask::brokers::place::remove(&self.place.state);
        if let Err(problem) = ended.and(removed) {
            eprintln!("ending redis: {problem}");
        }
    }
}
