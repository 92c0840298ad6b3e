//! The server: the memory model, its file, and a listener. Everything happens on one thread, so that the order of the
//! records is the order of what happened.

mod consumer;
mod control;
mod core;
mod outbox;
mod producer;
mod session;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use pontoon_core::{Error, ErrorKind, Result};
use pontoon_memory::{MemoryConfig, MemoryServer};
use tokio::net::TcpListener;

use self::core::Core;
use crate::journal::{Found, Journal, Sync};

/// How to run a [`Server`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// The append-only file. It is made where there is none.
    pub data: PathBuf,
    /// When the file is synchronised.
    pub sync: Sync,
    /// Bounds, lease and key window of the model; faults are not among them.
    pub memory: MemoryConfig,
    /// How often it says that it is there, on each connection that publishes or consumes. A client that hears nothing
    /// for twice as long gives the connection up. Above zero.
    pub beat: Duration,
}

/// How often a server beats unless it is told otherwise.
pub(crate) const BEAT: Duration = Duration::from_secs(5);

/// Settings of the model that a server takes.
const SETTINGS: [&str; 5] = ["lease", "max_messages", "max_bytes", "max_body", "key_window"];

impl ServerConfig {
    /// A server on a free port of the loopback interface, with this file.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        ServerConfig { address, data: data.into(), sync: Sync::default(), memory: MemoryConfig::default(), beat: BEAT }
    }

    /// With settings of the model as names and values: `lease`, `max_messages`, `max_bytes`, `max_body`, `key_window`.
    ///
    /// # Errors
    /// `InvalidConfig` naming the setting that is unknown or out of range.
    pub fn with_settings(mut self, settings: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let settings: Vec<(String, String)> = settings.into_iter().collect();
        if let Some((name, _)) = settings.iter().find(|(name, _)| !SETTINGS.contains(&name.as_str())) {
            return Err(Error::new(ErrorKind::InvalidConfig, "configure memory server", "there is no such setting")
                .with("setting", name)
                .with_help(format!("the settings are {}", SETTINGS.join(", "))));
        }
        self.memory = MemoryConfig::from_pairs(settings)?;
        Ok(self)
    }
}

/// A memory server: it holds what its file says, and listens.
pub struct Server {
    core: Rc<Core>,
    listener: TcpListener,
    address: SocketAddr,
    held: usize,
    found: Found,
}

impl Server {
    /// Reads the file and begins to listen. Within a `tokio::task::LocalSet`.
    ///
    /// # Errors
    /// `InvalidConfig` while another server uses the file; `Codec` naming the offset of what is damaged in it;
    /// `Connection` when the address is taken; `Internal` for what the file system says.
    pub async fn open(config: ServerConfig) -> Result<Self> {
        let (journal, image, found) = Journal::open(&config.data, config.sync)?;
        let held = image.messages();
        let memory = MemoryServer::new(config.memory);
        if config.beat.is_zero() {
            return Err(Error::new(
                ErrorKind::InvalidConfig,
                "configure memory server",
                "it cannot beat without a pause",
            )
            .with_help("choose a time above zero; 5 s is the default"));
        }
        let core = Core::new(memory, journal, image, config.beat)?;
        let cannot = |error: std::io::Error| {
            Error::new(ErrorKind::Connection, "listen", format!("cannot listen: {error}"))
                .with("address", config.address)
                .with_help("choose another port, or 0 for a free one")
        };
        let listener = TcpListener::bind(config.address).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Server { core: Rc::new(core), listener, address, held, found })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages it held when it began.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// How many bytes of a torn record were cut off the end of its file.
    #[must_use]
    pub fn cut(&self) -> u64 {
        self.found.torn
    }

    /// Serves until something is wrong with the file: nothing is confirmed after that.
    pub async fn run(self) -> Error {
        let Server { core, listener, .. } = self;
        let accept = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let core = core.clone();
                        tokio::task::spawn_local(session::talk(stream, core));
                    }
                    // Too many open files, or a connection that ended before it began: the next may work.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::select! {
            error = core.journal.keep_safe() => error,
            error = core.failed() => error,
            () = accept => unreachable!("accepting does not end"),
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("held", &self.held).finish_non_exhaustive()
    }
}
