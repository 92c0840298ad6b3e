//! The flights as they stand in the file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One flight of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// When it was to leave.
    pub(crate) date: String,
    /// Minutes late; negative when early.
    pub(crate) delay: i64,
    /// Miles.
    pub(crate) distance: u32,
    /// Where it left.
    pub(crate) origin: String,
    /// Where it went.
    pub(crate) destination: String,
}

/// A file that cannot be used as input.
#[derive(Debug)]
pub(crate) struct InputError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Unreadable(io::Error),
    NotFlights(serde_json::Error),
    Empty,
    NoOrigin { seq: usize },
    TooFewToPoison { flights: usize, poison: usize },
}

/// Reads the file.
///
/// # Errors
/// Names the file and what is wrong with it; nothing has been sent then.
pub(crate) fn read(path: &Path, poison: usize) -> Result<Vec<Record>, InputError> {
    let wrong = |kind| InputError { path: path.to_owned(), kind };
    let text = fs::read(path).map_err(|error| wrong(Kind::Unreadable(error)))?;
    let flights: Vec<Record> = serde_json::from_slice(&text).map_err(|error| wrong(Kind::NotFlights(error)))?;
    if flights.is_empty() {
        return Err(wrong(Kind::Empty));
    }
    if let Some(seq) = flights.iter().position(|flight| flight.origin.is_empty()) {
        return Err(wrong(Kind::NoOrigin { seq }));
    }
    if poison > flights.len() {
        return Err(wrong(Kind::TooFewToPoison { flights: flights.len(), poison }));
    }
    Ok(flights)
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Kind::Unreadable(error) => write!(f, "cannot read the input {path}: {error}"),
            Kind::NotFlights(error) => write!(
                f,
                "{path} is not a JSON array of flights with date, delay, distance, origin and destination: {error}"
            ),
            Kind::Empty => write!(f, "{path} holds no flight"),
            Kind::NoOrigin { seq } => write!(f, "{path}: flight {seq} has no origin, so it has no key"),
            Kind::TooFewToPoison { flights, poison } => {
                write!(f, "{path} holds {flights} flights, of which --poison {poison} cannot all be chosen")
            }
        }
    }
}

impl std::error::Error for InputError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Unreadable(error) => Some(error),
            Kind::NotFlights(error) => Some(error),
            Kind::Empty | Kind::NoOrigin { .. } | Kind::TooFewToPoison { .. } => None,
        }
    }
}
