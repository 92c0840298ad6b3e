//! What the handlers did, one JSON object a line, in the order in which they ended.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// How a handler ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Event {
    /// The flight is on the board.
    Handled,
    /// The flight was too late, and rejected with a reason.
    Rejected,
    /// The attempt failed.
    Failed,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The place of the flight in the input, from 0.
    pub(crate) seq: usize,
    /// Its airport of origin.
    pub(crate) origin: String,
    /// How the handler ended.
    pub(crate) event: Event,
    /// Which attempt it was, from 1.
    pub(crate) attempt: u32,
    /// Which worker it was, from 0.
    pub(crate) worker: usize,
    /// When: nanoseconds since 1970. Ascends within a file.
    pub(crate) at: u64,
}

/// The journal being written.
///
/// Behind one lock, so that lines of one airport stand in the order in which its handlers ended, whichever workers
/// they ran in. Buffered: a line costs no system call of its own.
#[derive(Debug)]
pub(crate) struct Journal {
    path: Option<PathBuf>,
    sink: Mutex<Sink>,
    clock: Instant,
    started: u64,
}

#[derive(Debug)]
enum Sink {
    File(BufWriter<File>),
    Memory(Vec<u8>),
}

impl Journal {
    /// A journal in this file, which is replaced, or in memory.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn create(path: Option<&Path>) -> io::Result<Self> {
        let sink = match path {
            Some(path) => Sink::File(BufWriter::with_capacity(64 * 1024, File::create(path)?)),
            None => Sink::Memory(Vec::new()),
        };
        // Wall clock once, then the monotonic one: lines ascend even when the wall clock is set back.
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = u64::try_from(started.as_nanos()).unwrap_or(u64::MAX);
        Ok(Journal { path: path.map(Path::to_owned), sink: Mutex::new(sink), clock: Instant::now(), started })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn record(&self, seq: usize, origin: &str, event: Event, attempt: u32, worker: usize) -> io::Result<()> {
        let mut sink = self.sink();
        let passed = u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let at = self.started.saturating_add(passed);
        let entry = Entry { seq, origin: origin.to_owned(), event, attempt, worker, at };
        let line = serde_json::to_vec(&entry)?;
        sink.write_all(&line)?;
        sink.write_all(b"\n")
    }

    /// Puts what is buffered into the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.sink().flush()
    }

    /// The same, unless a handler is writing at this moment: for a process that ends now.
    ///
    /// # Errors
    /// When the file cannot be written, or is being written.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self.sink.try_lock() {
            Ok(mut sink) => sink.flush(),
            Err(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Everything written so far, read back from where it was written to.
    ///
    /// # Errors
    /// When the file cannot be written or read.
    pub(crate) fn read_back(&self) -> io::Result<Vec<u8>> {
        self.flush()?;
        match (&*self.sink(), &self.path) {
            (Sink::File(_), Some(path)) => std::fs::read(path),
            (Sink::File(_), None) => Err(io::Error::other("a journal file without a path")),
            (Sink::Memory(bytes), _) => Ok(bytes.clone()),
        }
    }

    fn sink(&self) -> MutexGuard<'_, Sink> {
        // A handler that panicked elsewhere must not silence the journal.
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::File(file) => file.write(bytes),
            Sink::Memory(memory) => memory.write(bytes),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::File(file) => file.flush(),
            Sink::Memory(_) => Ok(()),
        }
    }
}

/// Reads a journal.
///
/// # Errors
/// Names the line that is none.
pub(crate) fn parse(journal: &[u8]) -> Result<Vec<Entry>, String> {
    journal
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| format!("line {} of the journal: {error}", number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let path = std::env::temp_dir().join(format!("flights-journal-{}.jsonl", std::process::id()));
        for path in [None, Some(path.as_path())] {
            let journal = Journal::create(path).unwrap();
            journal.record(7, "ORD", Event::Failed, 1, 2).unwrap();
            journal.record(7, "ORD", Event::Handled, 2, 3).unwrap();
            let text = journal.read_back().unwrap();
            assert!(text.starts_with(br#"{"seq":7,"origin":"ORD","event":"failed","attempt":1,"worker":2,"at":"#));
            let entries = parse(&text).unwrap();
            assert_eq!(entries.len(), 2);
            assert_eq!((entries[1].event, entries[1].attempt, entries[1].worker), (Event::Handled, 2, 3));
            assert!(entries[0].at <= entries[1].at);
        }
        std::fs::remove_file(path).unwrap();
        assert!(parse(b"{}\n").unwrap_err().contains("line 1"));
    }
}
