//! Reading the file: every record is checked; a torn tail is cut off, anything else that is wrong is an error.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind as Io, Read as _};
use std::path::Path;

use bytes::Bytes;
use pontoon_core::wire::Read;
use pontoon_core::{Error, ErrorKind};

use super::crc::crc32;
use super::{HEAD, MAGIC, Record};

/// What was found at an offset.
enum Next {
    Record(Bytes),
    /// The end of the file, or of its good part.
    End,
}

/// What came of reading a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where the good part ends: everything behind is to be cut off.
    pub(crate) good: u64,
    /// How many bytes that is.
    pub(crate) torn: u64,
    /// How many records were read.
    pub(crate) records: u64,
}

/// Reads every record. A file that is empty, or was torn while it was made, has none.
///
/// # Errors
/// `Codec` naming the offset of what is wrong before the tail; `Internal` for what the file system says.
pub(crate) fn read(path: &Path, mut record: impl FnMut(Record<Read>)) -> Result<Found, Error> {
    let file = File::open(path).map_err(|error| io_error("open", path, error))?;
    let length = file.metadata().map_err(|error| io_error("look at", path, error))?.len();
    let mut from = BufReader::with_capacity(1 << 20, file);
    let mut magic = Vec::new();
    let read = from.by_ref().take(MAGIC.len() as u64).read_to_end(&mut magic);
    read.map_err(|error| io_error("read", path, error))?;
    if magic != MAGIC {
        // Only what was cut short while it was made.
        if MAGIC.starts_with(&magic) {
            return Ok(Found { good: 0, torn: length, records: 0 });
        }
        return Err(corrupt(path, 0, "it does not begin as such a file does"));
    }
    let mut at = MAGIC.len() as u64;
    let mut records = 0;
    loop {
        match next(&mut from, at, length).map_err(|wrong| match wrong {
            Wrong::Io(error) => io_error("read", path, error),
            Wrong::Corrupt(what) => corrupt(path, at, what),
        })? {
            Next::End => return Ok(Found { good: at, torn: length - at, records }),
            Next::Record(found) => {
                let whole = (HEAD + found.len()) as u64;
                record(Record::take(found).map_err(|what| corrupt(path, at, what.0))?);
                at += whole;
                records += 1;
            }
        }
    }
}

enum Wrong {
    Io(io::Error),
    Corrupt(&'static str),
}

/// The record at `at`, of a file this long.
fn next(from: &mut BufReader<File>, at: u64, length: u64) -> Result<Next, Wrong> {
    let left = length - at;
    if left < HEAD as u64 {
        return Ok(Next::End);
    }
    let mut head = [0; HEAD];
    from.read_exact(&mut head).map_err(Wrong::Io)?;
    let field = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (size, size_sum, sum) = (field(0), field(4), field(8));
    if crc32(&head[..4]) != size_sum {
        // A power loss can leave a file longer than what was written into it.
        if head == [0; HEAD] && only_zeros(from).map_err(Wrong::Io)? {
            return Ok(Next::End);
        }
        return Err(Wrong::Corrupt("the length of a record has a wrong checksum"));
    }
    let behind = left - HEAD as u64;
    if u64::from(size) > behind {
        return Ok(Next::End);
    }
    // Not more than the file still holds, so its length may be believed.
    let mut record = vec![0; size as usize];
    from.read_exact(&mut record).map_err(Wrong::Io)?;
    if crc32(&record) != sum {
        if u64::from(size) == behind {
            return Ok(Next::End);
        }
        return Err(Wrong::Corrupt("a record has a wrong checksum"));
    }
    Ok(Next::Record(record.into()))
}

fn only_zeros(from: &mut BufReader<File>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(read) if chunk[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == Io::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn corrupt(path: &Path, offset: u64, what: &str) -> Error {
    Error::new(ErrorKind::Codec, "read data file", format!("the file is damaged: {what}"))
        .with("file", path.display())
        .with("offset", offset)
        .with_help("restore the file from a copy, or start with another one")
}

pub(super) fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Internal, "use data file", format!("cannot {what} the file: {error}"))
        .with("file", path.display())
        .with_source(error)
}
