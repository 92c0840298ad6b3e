//! Writing a history.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Event, History, LeaseId, Nanos, RunClock, What};

/// Takes the events of one process: in memory, and into a file where there is one. Cheap to clone; clones write the same
/// record.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    clock: RunClock,
    process: u32,
    leases: AtomicU64,
    written: Mutex<Written>,
}

#[derive(Default)]
struct Written {
    events: Vec<Event>,
    latest: Option<Nanos>,
    file: Option<File>,
    /// The first thing that went wrong with the file.
    failed: Option<io::Error>,
}

impl Recorder {
    /// Records in memory, for a run of one process that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self::with(RunClock::start(), 0, None)
    }

    /// Records in memory, as this process of the run.
    #[must_use]
    pub fn of_process(clock: RunClock, process: u32) -> Self {
        Self::with(clock, process, None)
    }

    /// Records in memory and into this file, which is made anew: one line for each event. A line is with the operating
    /// system when [`record`](Self::record) returns, so that killing the process loses at most a line that was being
    /// written.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn to_file(clock: RunClock, process: u32, path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::with(clock, process, Some(File::create(path)?)))
    }

    fn with(clock: RunClock, process: u32, file: Option<File>) -> Self {
        let written = Mutex::new(Written { file, ..Written::default() });
        Recorder(Arc::new(Inner { clock, process, leases: AtomicU64::new(0), written }))
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The clock of the run.
    #[must_use]
    pub fn clock(&self) -> RunClock {
        self.0.clock
    }

    /// Now, in nanoseconds since the run's start.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.0.clock.now()
    }

    /// A name for a lease that no other has in this run.
    #[must_use]
    pub fn next_lease(&self) -> LeaseId {
        let count = self.0.leases.fetch_add(1, Ordering::Relaxed);
        LeaseId(u64::from(self.0.process) << 40 | count)
    }

    /// Writes down that this happened now. When it returns, the event is in the record.
    pub fn record(&self, what: What) {
        let mut written = self.written();
        // The time is taken under the lock, and is never that of the event before: the record is in the order of its
        // times, also where a paused clock stands still.
        let after = written.latest.map_or(0, |latest| latest + 1);
        let event = Event { at: self.0.clock.now().max(after), process: self.0.process, what };
        written.latest = Some(event.at);
        written.write(&event);
        written.events.push(event);
    }

    /// Writes a remark.
    pub fn note(&self, text: impl Into<String>) {
        self.record(What::Note { text: text.into() });
    }

    /// How many events were recorded.
    #[must_use]
    pub fn len(&self) -> usize {
        self.written().events.len()
    }

    /// Whether nothing was recorded yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything recorded so far.
    #[must_use]
    pub fn history(&self) -> History {
        History::new(self.written().events.clone())
    }

    /// Everything recorded since this was last asked: the record in memory is empty then, the file is not.
    #[must_use]
    pub fn take(&self) -> History {
        History::new(std::mem::take(&mut self.written().events))
    }

    /// Whether everything reached the file.
    ///
    /// # Errors
    /// The first error of writing, once.
    pub fn check(&self) -> io::Result<()> {
        self.written().failed.take().map_or(Ok(()), Err)
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::new()
    }
}

impl Written {
    fn write(&mut self, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let line = serde_json::to_vec(event).map_err(io::Error::from);
        let wrote = line.and_then(|mut line| {
            line.push(b'\n');
            // One call: two processes never tear each other's lines, and a kill tears at most this one.
            file.write_all(&line)
        });
        if let Err(error) = wrote {
            self.failed.get_or_insert(error);
            self.file = None;
        }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("process", &self.0.process).field("events", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_file_when_recording_returns() {
        let path = std::env::temp_dir().join(format!("pontoon-recorder-{}.jsonl", std::process::id()));
        let recorder = Recorder::to_file(RunClock::start(), 3, &path).unwrap();
        for at in 1..=3 {
            recorder.note(format!("{at}"));
            assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), at);
        }
        let read = History::read([&path]).unwrap();
        assert_eq!(read, recorder.history());
        recorder.check().unwrap();
        std::fs::remove_file(&path).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_told() {
        let recorder = Recorder::to_file(RunClock::start(), 0, "/dev/full").unwrap();
        recorder.note("lost");
        assert!(recorder.check().is_err());
        assert_eq!(recorder.len(), 1);
    }

    #[test]
    fn threads_record_in_the_order_of_their_times_and_leases_differ() {
        let recorder = Recorder::of_process(RunClock::start(), 9);
        let leases: Vec<LeaseId> = std::thread::scope(|scope| {
            let work = || {
                (0..500)
                    .map(|_| {
                        recorder.note("x");
                        recorder.next_lease()
                    })
                    .collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let history = recorder.take();
        assert_eq!((history.len(), recorder.len()), (2_000, 0));
        assert!(history.events().is_sorted_by_key(|event| event.at));
        let distinct: std::collections::BTreeSet<_> = leases.iter().collect();
        assert_eq!(distinct.len(), leases.len());
        assert!(!leases.contains(&Recorder::new().next_lease()));
    }
}
