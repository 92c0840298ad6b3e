//! Appending to the file, and when it is synchronised.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use pontoon_core::{Error, ErrorKind, Message, Result};
use tokio::sync::{Notify, watch};

use super::crc::crc32;
use super::file::io_error;
use super::{Found, HEAD, Image, MAGIC, Record, read};

/// When what was written is made to survive a loss of power (`fsync`). What was written survives a crash of the
/// process in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Before anything is confirmed; one call for all that waits.
    Always,
    /// Once a second, beside the work.
    #[default]
    EverySecond,
    /// When the operating system likes.
    Never,
}

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Sync::Always),
            "everysec" => Ok(Sync::EverySecond),
            "none" => Ok(Sync::Never),
            _ => Err(format!("`{text}` is none of `always`, `everysec`, `none`")),
        }
    }
}

/// The file, open for appending. Of one thread.
pub(crate) struct Journal {
    file: Arc<File>,
    path: PathBuf,
    policy: Sync,
    /// Records that are not yet in the file.
    fresh: RefCell<Vec<u8>>,
    written: Cell<u64>,
    synced: watch::Sender<u64>,
    dirty: Notify,
}

impl Journal {
    /// Opens the file, or makes it; gives what it holds. A torn tail is cut off.
    ///
    /// # Errors
    /// `InvalidConfig` while another server uses the file; `Codec` naming the offset of what is damaged; `Internal` for
    /// what the file system says.
    pub(crate) fn open(path: &Path, policy: Sync) -> Result<(Self, Image, Found)> {
        let wrong = |what: &'static str| move |error| io_error(what, path, error);
        let options = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = options.map_err(wrong("open"))?;
        if file.try_lock().is_err() {
            return Err(Error::new(ErrorKind::InvalidConfig, "use data file", "another server uses the file")
                .with("file", path.display())
                .with_help("stop that one first, or name another file"));
        }
        let mut image = Image::default();
        let found = read(path, |record| image.apply(record))?;
        file.set_len(found.good).map_err(wrong("cut"))?;
        let mut written = found.good;
        if written == 0 {
            file.write_all(MAGIC).map_err(wrong("write to"))?;
            written = MAGIC.len() as u64;
        }
        file.sync_all().map_err(wrong("synchronise"))?;
        // The name of a new file is in its folder, which has to survive as well.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(wrong("synchronise the folder of"))?;
        }
        let journal = Journal {
            file: Arc::new(file),
            path: path.to_owned(),
            policy,
            fresh: RefCell::default(),
            written: Cell::new(written),
            synced: watch::Sender::new(written),
            dirty: Notify::new(),
        };
        Ok((journal, image, found))
    }

    /// Adds a record: in the file after the next [`write`](Self::write).
    pub(crate) fn append(&self, record: &Record<&Message>) {
        let mut fresh = self.fresh.borrow_mut();
        let start = fresh.len();
        fresh.extend_from_slice(&[0; HEAD]);
        record.append_to(&mut fresh);
        let size = ((fresh.len() - start - HEAD) as u32).to_le_bytes();
        let sum = crc32(&fresh[start + HEAD..]);
        fresh[start..start + 4].copy_from_slice(&size);
        fresh[start + 4..start + 8].copy_from_slice(&crc32(&size).to_le_bytes());
        fresh[start + 8..start + 12].copy_from_slice(&sum.to_le_bytes());
    }

    /// Writes what was added. Gives the position that must be [`safe`](Self::safe) before anybody is told.
    ///
    /// # Errors
    /// What the file system says: the server cannot go on, since a part may be in the file.
    pub(crate) fn write(&self) -> Result<u64> {
        let mut fresh = self.fresh.borrow_mut();
        if !fresh.is_empty() {
            (&*self.file).write_all(&fresh).map_err(|error| io_error("write to", &self.path, error))?;
            self.written.set(self.written.get() + fresh.len() as u64);
            fresh.clear();
            self.dirty.notify_one();
        }
        Ok(self.written.get())
    }

    /// Whether what is confirmed survives a loss of power.
    pub(crate) fn survives_power_loss(&self) -> bool {
        self.policy == Sync::Always
    }

    /// Whether what was written up to this position is as durable as the policy wants.
    pub(crate) fn is_safe(&self, position: u64) -> bool {
        self.policy != Sync::Always || *self.synced.borrow() >= position
    }

    /// Waits until it is.
    pub(crate) async fn safe(&self, position: u64) {
        if !self.is_safe(position) {
            // The sender lives as long as this.
            let _ = self.synced.subscribe().wait_for(|synced| *synced >= position).await;
        }
    }

    /// Synchronises as the policy says, until the file system fails.
    pub(crate) async fn keep_safe(&self) -> Error {
        loop {
            self.dirty.notified().await;
            if self.policy == Sync::Never {
                continue;
            }
            let (file, written) = (self.file.clone(), self.written.get());
            match tokio::task::spawn_blocking(move || file.sync_data()).await {
                Ok(Ok(())) => {
                    self.synced.send_replace(written);
                }
                Ok(Err(error)) => return io_error("synchronise", &self.path, error),
                Err(_) => return Error::new(ErrorKind::Internal, "use data file", "the runtime is shutting down"),
            }
            if self.policy == Sync::EverySecond {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        }
    }
}
