//! The life of a broker: it is started when it is needed, and ends with whoever uses it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use pontoon_core::{Error, ErrorKind, Result};

use crate::broker::Broker;
use crate::command::Command;
use crate::config::FolderConfig;
use crate::disk::{Disk, journal};
use crate::error;
use crate::link::Link;

/// A folder of queues that this process owns. Clones are the same one.
///
/// A thread works for it. When the disk fails, the thread ends with all connections, and the next that is opened starts
/// another from what is on the disk. When nobody uses the folder any more it is free for others.
#[derive(Clone, Debug)]
pub struct Folder(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: FolderConfig,
    next_connection: AtomicU64,
    running: Mutex<Option<Running>>,
}

/// One run of the broker.
#[derive(Debug)]
struct Running {
    commands: Sender<Command>,
    crashed: Arc<AtomicBool>,
    /// Gives how much of the journal was on the disk in the end.
    thread: JoinHandle<u64>,
}

impl Folder {
    /// Opens a folder, and reads what it holds.
    ///
    /// # Errors
    /// `Conflict` when another `Folder`, here or in another process, has it; `Internal` when its journal is damaged where a
    /// crash cannot have done it; `Connection` when its files cannot be used.
    pub async fn open(config: FolderConfig) -> Result<Folder> {
        let (next_connection, running) = (AtomicU64::new(1), Mutex::new(None));
        let folder = Folder(Arc::new(Shared { config, next_connection, running }));
        folder.link().await?;
        Ok(folder)
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn config(&self) -> &FolderConfig {
        &self.0.config
    }

    /// Ends all connections, as a failing network would: what they had under way may or may not be done. They connect
    /// again by themselves. For tests.
    ///
    /// # Errors
    /// When the broker does not run and cannot be started.
    pub async fn cut(&self) -> Result<()> {
        let link = self.link().await?;
        let before = self.0.next_connection.load(Ordering::SeqCst);
        link.ask("cut", |reply| Command::Cut { before, reply }).await
    }

    /// Ends the broker as a crash of its process would, in the middle of what it does and without a word to anybody; lets
    /// `meanwhile` have the journal, and says how many bytes of it were on the disk for certain; and starts it again. For
    /// tests.
    ///
    /// # Errors
    /// When it cannot be started again. What `meanwhile` gives is given back.
    pub async fn crash<T: Send + 'static>(
        &self,
        meanwhile: impl FnOnce(&Path, u64) -> T + Send + 'static,
    ) -> Result<T> {
        self.blocking("crash", move |shared| {
            let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            let mut synced = 0;
            if let Some(Running { commands, crashed, thread }) = running.take() {
                crashed.store(true, Ordering::Release);
                let _ = commands.send(Command::Wake);
                synced = thread.join().unwrap_or(0);
            }
            let end = meanwhile(&journal(&shared.config.folder), synced);
            *running = Some(start(&shared.config)?);
            Ok(end)
        })
        .await
    }

    /// A new connection to the broker, which is started where it does not run.
    pub(crate) async fn link(&self) -> Result<Link> {
        self.blocking("open connection", |shared| {
            let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            let running = match running.take().filter(|running| !running.thread.is_finished()) {
                Some(found) => running.insert(found),
                None => running.insert(start(&shared.config)?),
            };
            let number = shared.next_connection.fetch_add(1, Ordering::SeqCst);
            Ok(Link::new(number, running.commands.clone()))
        })
        .await
    }

    /// Runs what waits for the disk where it may wait. It goes on when nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = self.0.clone();
        let end = tokio::task::spawn_blocking(move || work(&shared)).await;
        end.unwrap_or_else(|error| {
            let words = "the task that opens files did not end as it should";
            Err(Error::new(ErrorKind::Internal, operation, words).with_source(error))
        })
    }
}

fn start(config: &FolderConfig) -> Result<Running> {
    let found = Disk::open(config)?;
    let (commands, taken) = std::sync::mpsc::channel();
    let crashed = Arc::new(AtomicBool::new(false));
    let (own, flag) = (config.clone(), crashed.clone());
    let thread = std::thread::Builder::new()
        .name("pontoon-file".to_owned())
        .spawn(move || Broker::new(own, found, taken, flag).run())
        .map_err(|error| error::files("open folder", &config.folder, error))?;
    Ok(Running { commands, crashed, thread })
}
