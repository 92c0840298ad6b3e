//! The files of a folder: its lock, its journal, and the journal that is to take its place.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pontoon_core::driver::{Incoming, Token};
use pontoon_core::wire::unpack;
use pontoon_core::{BrokerId, Message, Result};

use crate::config::FolderConfig;
use crate::error;
use crate::journal::{End, Journal, Place, replay};
use crate::queues::{Queues, Stored};
use crate::record::Record;

/// How many bytes of records make a frame when the journal is written anew.
const FRAME: usize = 1 << 20;

/// The files of a folder that is in use.
#[derive(Debug)]
pub(crate) struct Disk {
    journal: Journal,
    path: PathBuf,
    /// The length from which it is worth looking whether the journal has become too long.
    look_at: u64,
    /// Locked as long as it is open.
    _lock: File,
}

/// Where the journal of a folder lies.
pub(crate) fn journal(folder: &Path) -> PathBuf {
    folder.join("journal")
}

impl Disk {
    /// Takes the folder, and reads what it holds.
    ///
    /// The journal is always written anew: a torn end does not come along, and what a failed write may have left in the
    /// machine's memory only is written once more.
    ///
    /// # Errors
    /// `Conflict` when somebody else has the folder, `Internal` when the journal is damaged, `Connection` when the files
    /// cannot be used. Nothing was changed then.
    pub(crate) fn open(config: &FolderConfig) -> Result<(Disk, Queues)> {
        let folder = &config.folder;
        let failed = |error| error::files("open folder", folder, error);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock"));
        let lock = lock.map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => error::taken(folder),
            TryLockError::Error(error) => failed(error),
        })?;
        let path = journal(folder);
        let mut queues = Queues::new();
        let mut found = Found::default();
        let (mut old, end) = replay(&path, |place, record| found.read(place, record, &mut queues)).map_err(failed)?;
        if let (End::Damaged { at }, _) | (_, Some(at)) = (end, found.nonsense) {
            return Err(error::damaged(&path, at));
        }
        found.fill(&mut queues);
        let journal = rewritten(old.as_mut(), &path, config.sync, &mut queues).map_err(failed)?;
        let look_at = config.compact_from.max(journal.length() * 2);
        Ok((Disk { journal, path, look_at, _lock: lock }, queues))
    }

    /// Where the first record of the next frame will lie.
    pub(crate) fn next_record(&self) -> u64 {
        self.journal.next_record()
    }

    /// How many bytes of the journal are on the disk for certain.
    pub(crate) fn synced(&self) -> u64 {
        self.journal.synced()
    }

    /// Appends these records, if there are any, and leaves none.
    pub(crate) fn append(&mut self, records: &mut Vec<u8>) -> io::Result<()> {
        if !records.is_empty() {
            self.journal.append(records)?;
            records.clear();
        }
        Ok(())
    }

    /// Writes the journal anew where it has become twice as long as what was needed of it last time.
    pub(crate) fn compact(&mut self, config: &FolderConfig, queues: &mut Queues) -> io::Result<()> {
        if self.journal.length() >= self.look_at {
            self.journal = rewritten(Some(&mut self.journal), &self.path, config.sync, queues)?;
            self.look_at = config.compact_from.max(self.journal.length() * 2);
        }
        Ok(())
    }

    /// A message as a consumer gets it.
    pub(crate) fn incoming(&mut self, token: Token, number: u64, stored: Stored) -> io::Result<Incoming> {
        let bytes = Bytes::from(self.journal.read(stored.place)?);
        let Some(Record::Message { fields, body, .. }) = Record::take(&mut &bytes[..]) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal has changed under the broker"));
        };
        let read = unpack(Message::new(bytes.slice_ref(body)), fields);
        let mut incoming = Incoming::new(token, read.message);
        incoming.broker_id = BrokerId::Number(number);
        incoming.deliveries = Some(stored.state.deliveries);
        incoming.failures = stored.state.failures;
        incoming.undecodable = read.problem;
        Ok(incoming)
    }
}

/// What the records of a journal come to.
#[derive(Default)]
struct Found {
    /// By number: its queue, and where it lies.
    messages: BTreeMap<u64, (usize, Stored)>,
    /// Where the first record lies that cannot be true.
    nonsense: Option<u64>,
}

impl Found {
    fn read(&mut self, place: Place, record: Record<'_>, queues: &mut Queues) {
        match record {
            Record::Queue { name, facts } => {
                queues.declare(name, facts);
            }
            Record::Message { number, queue, state, .. } if (queue as usize) < queues.all().len() => {
                self.messages.insert(number, (queue as usize, Stored { place, state }));
                queues.next_number = queues.next_number.max(number + 1);
            }
            Record::Message { .. } => {
                self.nonsense.get_or_insert(place.at);
            }
            Record::Changed { number, state } => {
                if let Some((_, stored)) = self.messages.get_mut(&number) {
                    stored.state = state;
                }
            }
            Record::Gone { number } => {
                self.messages.remove(&number);
            }
            Record::Next { number } => queues.next_number = queues.next_number.max(number),
        }
    }

    fn fill(self, queues: &mut Queues) {
        for (number, (queue, stored)) in self.messages {
            queues.store(queue, number, stored);
        }
    }
}

/// Writes what is needed into a new journal, which takes the place of the one at `path`.
fn rewritten(mut old: Option<&mut Journal>, path: &Path, sync: bool, queues: &mut Queues) -> io::Result<Journal> {
    let now = path.with_extension("new");
    let mut new = Journal::create(&now, false)?;
    let mut records = Vec::new();
    for queue in queues.all() {
        Record::Queue { name: &queue.name, facts: &queue.facts }.put(&mut records);
    }
    Record::Next { number: queues.next_number }.put(&mut records);
    for stored in queues.each() {
        let Some(old) = old.as_deref_mut() else { break };
        let bytes = old.read(stored.place)?;
        let Some(Record::Message { number, queue, fields, body, .. }) = Record::take(&mut &bytes[..]) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the journal has changed under the broker"));
        };
        let begin = records.len();
        Record::Message { number, queue, state: stored.state, fields, body }.put(&mut records);
        stored.place = Place { at: new.next_record() + begin as u64, length: (records.len() - begin) as u32 };
        if records.len() >= FRAME {
            new.append(&records)?;
            records.clear();
        }
    }
    if !records.is_empty() {
        new.append(&records)?;
    }
    new.replace(&now, path, sync)
}
