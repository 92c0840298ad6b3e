//! A whole history: merged, written and read.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::Event;

/// Everything that was recorded, in the order of its times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    events: Vec<Event>,
    torn: Vec<PathBuf>,
}

/// Why a history cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistoryError {
    /// The file cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A line is not an event. Nothing after it can be trusted.
    Corrupt {
        /// In which file.
        path: PathBuf,
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl History {
    /// A history of these events, put into the order of their times; events of one time keep the order they are in.
    #[must_use]
    pub fn new(mut events: Vec<Event>) -> Self {
        events.sort_by_key(|event| event.at);
        History { events, torn: Vec::new() }
    }

    /// Reads what the processes of a run wrote and merges it. A last line without its end is what a killed process
    /// leaves behind: it is left out, and [`torn`](Self::torn) names its file.
    ///
    /// # Errors
    /// [`HistoryError`], naming file and line.
    pub fn read<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, HistoryError> {
        let mut events = Vec::new();
        let mut torn = Vec::new();
        for path in paths {
            let path = path.as_ref();
            let file = File::open(path).map_err(|error| HistoryError::Io { path: path.into(), error })?;
            if read_lines(path, BufReader::new(file), &mut events)? {
                torn.push(path.to_path_buf());
            }
        }
        Ok(History { torn, ..History::new(events) })
    }

    /// Reads lines from memory, as [`read`](Self::read) does from a file.
    ///
    /// # Errors
    /// [`HistoryError::Corrupt`], naming the line.
    pub fn parse(lines: &[u8]) -> Result<Self, HistoryError> {
        let mut events = Vec::new();
        let path = Path::new("(memory)");
        let torn = read_lines(path, lines, &mut events)?;
        Ok(History { torn: torn.then(|| path.to_path_buf()).into_iter().collect(), ..History::new(events) })
    }

    /// One history of several processes.
    #[must_use]
    pub fn merge(parts: impl IntoIterator<Item = History>) -> Self {
        let mut events = Vec::new();
        let mut torn = Vec::new();
        for part in parts {
            events.extend(part.events);
            torn.extend(part.torn);
        }
        History { torn, ..History::new(events) }
    }

    /// Writes one line for each event.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        for event in &self.events {
            serde_json::to_writer(&mut *to, event)?;
            to.write_all(b"\n")?;
        }
        Ok(())
    }

    /// The lines as one text.
    ///
    /// # Panics
    /// Never: every event has a written form.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        self.write(&mut lines).expect("writing to memory does not fail");
        String::from_utf8(lines).expect("JSON is UTF-8")
    }

    /// The events.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Files whose last line was cut off.
    #[must_use]
    pub fn torn(&self) -> &[PathBuf] {
        &self.torn
    }
}

/// Whether the last line was cut off.
fn read_lines(path: &Path, mut from: impl BufRead, into: &mut Vec<Event>) -> Result<bool, HistoryError> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        from.read_until(b'\n', &mut line).map_err(|error| HistoryError::Io { path: path.into(), error })?;
        let Some((b'\n', text)) = line.split_last() else { return Ok(!line.is_empty()) };
        let event = serde_json::from_slice(text).map_err(|error| {
            // Its own words name a line too, which is always the first here.
            let what = error.to_string();
            let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what).to_owned();
            HistoryError::Corrupt { path: path.into(), line: number, what }
        })?;
        into.push(event);
    }
    unreachable!("a file has fewer than 2^64 lines")
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HistoryError::Io { path, error } => write!(f, "cannot read the history {}: {error}", path.display()),
            HistoryError::Corrupt { path, line, what } => {
                write!(f, "line {line} of the history {} is no event: {what}; ", path.display())?;
                f.write_str("it was changed after it was written, or written by another version: run again")
            }
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HistoryError::Io { error, .. } => Some(error),
            HistoryError::Corrupt { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::What;

    fn note(at: u64, text: &str) -> Event {
        Event { at, process: 1, what: What::Note { text: text.into() } }
    }

    #[test]
    fn what_is_written_is_read() {
        let history = History::new(vec![note(2, "b"), note(1, "a"), note(2, "c\n\"ü\"")]);
        let text = history.to_text();
        assert_eq!(text.lines().count(), 3);
        let read = History::parse(text.as_bytes()).unwrap();
        assert_eq!(read, history);
        let order: Vec<_> = read.events().iter().map(|event| event.at).collect();
        assert_eq!(order, [1, 2, 2]);
    }

    #[test]
    fn a_torn_last_line_is_a_crash() {
        let whole = History::new(vec![note(1, "a"), note(2, "b")]).to_text();
        let first = whole.find('\n').unwrap() + 1;
        for end in first..whole.len() {
            let read = History::parse(&whole.as_bytes()[..end]).unwrap();
            assert_eq!((read.len(), read.torn().len()), (1, usize::from(end > first)), "{end}");
        }
    }

    #[test]
    fn a_corrupt_line_is_an_error_that_names_it() {
        let good = r#"{"at":1,"process":0,"what":{"note":{"text":"x"}}}"#;
        for (bad, says) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("nonsense", "expected"),
            (r#"{"at":-1,"process":0,"what":{"note":{"text":"x"}}}"#, "-1"),
            (r#"{"at":1,"process":0,"what":{"note":{"text":"x"}},"more":1}"#, "more"),
            (r#"{"at":1,"process":0,"what":{"surprise":{}}}"#, "surprise"),
            (r#"{"at":1,"process":0,"what":{"published":{"id":"1-2","outcome":"fail"}}}"#, "PUBLISHER.COUNTER"),
            (r#"{"at":1,"process":0,"what":{"settle":{"lease":1,"end":{"dead-letter":"boredom"}}}}"#, "boredom"),
            (&format!("{good}{good}"), "trailing"),
        ] {
            let text = format!("{good}\n{bad}\n{good}\n");
            let error = History::parse(text.as_bytes()).unwrap_err();
            let HistoryError::Corrupt { line: 2, what, .. } = &error else { panic!("{bad}: {error}") };
            assert!(what.contains(says), "{bad}: {what}");
            assert!(error.to_string().starts_with("line 2 of the history"), "{error}");
        }
        assert!(History::parse(b"\xff\xfe\n").is_err());
        assert!(matches!(History::read(["/nowhere/at/all"]), Err(HistoryError::Io { .. })));
    }
}
