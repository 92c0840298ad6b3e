//! The suite's way to this transport: a folder for each check, cuts, and crashes that leave a torn write.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pontoon_conformance::harness::{Control, Harm, HarmKind, Harness, Profile, Site, Timings};
use pontoon_core::driver::{AnyTransport, BoxFuture};
use pontoon_core::{ChannelKind, Error, ErrorKind, Result};
use pontoon_example_file::{Folder, FolderConfig};

/// How many messages a folder takes here: few enough for a check to see what happens then.
const ROOM: u64 = 20_000;

/// The transport, as it is or without syncing what it confirms.
pub(crate) struct Folders {
    pub(crate) sync: bool,
}

impl Harness for Folders {
    fn name(&self) -> &str {
        "file"
    }

    fn profiles(&self) -> Vec<Profile> {
        vec![Profile::new("file-queue", ChannelKind::Queue).with_room(ROOM)]
    }

    fn timings(&self) -> Timings {
        Timings::real()
    }

    fn open<'a>(&'a self, _: &'a Profile, _seed: u64) -> BoxFuture<'a, Result<Arc<dyn Site>>> {
        Box::pin(async {
            let place = Place::new();
            let mut config = FolderConfig::new(&place.0);
            config.sync = self.sync;
            config.max_messages = ROOM as usize;
            config.compact_from = 1 << 20;
            let folder = Folder::open(config).await?;
            Ok(Arc::new(Broker { folder, crashes: AtomicUsize::new(0), _place: place }) as Arc<dyn Site>)
        })
    }
}

/// A folder that is removed in the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("file-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Place(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder that stays does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The broker as one check has it.
struct Broker {
    folder: Folder,
    crashes: AtomicUsize,
    _place: Place,
}

impl Site for Broker {
    fn connect(&self) -> BoxFuture<'_, Result<AnyTransport>> {
        Box::pin(async { Ok(pontoon_example_file::connect(&self.folder)) })
    }

    fn control(&self) -> &dyn Control {
        self
    }
}

impl Control for Broker {
    fn offers(&self, harm: HarmKind) -> bool {
        matches!(harm, HarmKind::Cut | HarmKind::Restart)
    }

    fn harm(&self, harm: Harm) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            match harm {
                Harm::Cut => self.folder.cut().await,
                Harm::Restart => {
                    let tail = torn(self.crashes.fetch_add(1, Ordering::Relaxed));
                    self.folder.crash(move |journal, synced| lose_power(journal, synced, &tail)).await?
                }
                _ => Err(Error::new(ErrorKind::Unsupported, "hurt broker", "only cuts and restarts are offered")),
            }
        })
    }

    fn heal(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// What a write that was broken off may leave: a part of a head, a head without its records, nothing but length.
fn torn(crash: usize) -> Vec<u8> {
    match crash % 3 {
        0 => vec![200, 0, 0],
        1 => vec![200, 0, 0, 0, 1, 2, 3, 4, 2, 9, 9],
        _ => vec![0; 100],
    }
}

/// What is not on the disk is gone, and the write that was under way is there in part.
fn lose_power(journal: &Path, synced: u64, tail: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(journal)?;
        file.set_len(synced)?;
        file.write_all(tail)
    };
    write().map_err(|error| Error::new(ErrorKind::Internal, "hurt broker", error.to_string()))
}
