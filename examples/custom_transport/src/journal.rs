//! The one file that everything is appended to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::record::{HEAD, Record, announced, head};

/// Where a record lies in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its first byte.
    pub(crate) at: u64,
    /// How many bytes it has.
    pub(crate) length: u32,
}

/// A journal that is open for appending. After an error it is not used any more: what of the last frame is in the file
/// is found out when it is read again.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    length: u64,
    synced: u64,
    sync: bool,
}

impl Journal {
    /// An empty one; a file that is there is overwritten.
    pub(crate) fn create(path: &Path, sync: bool) -> io::Result<Journal> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Journal { file, length: 0, synced: 0, sync })
    }

    /// How many bytes it has.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many of them are on the disk for certain.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Where the first record of the next frame will lie.
    pub(crate) fn next_record(&self) -> u64 {
        self.length + HEAD as u64
    }

    /// Appends one frame. When this returns it is in the file, and on the disk where that was asked for.
    pub(crate) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if u32::try_from(records.len()).is_err() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a frame of 4 GiB or more"));
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(&head(records))?;
        self.file.write_all(records)?;
        self.length += (HEAD + records.len()) as u64;
        if self.sync {
            self.file.sync_data()?;
            self.synced = self.length;
        }
        Ok(())
    }

    /// Reads one record.
    pub(crate) fn read(&mut self, place: Place) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; place.length as usize];
        self.file.seek(SeekFrom::Start(place.at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Puts it, which lies at `now`, in the place of the journal at `path` as one step. From then on each frame is synced
    /// or not.
    pub(crate) fn replace(mut self, now: &Path, path: &Path, sync: bool) -> io::Result<Journal> {
        // In either case: the old journal goes, so that the new one must be whole.
        self.file.sync_data()?;
        std::fs::rename(now, path)?;
        sync_folder(path)?;
        (self.sync, self.synced) = (sync, self.length);
        Ok(self)
    }
}

/// A name is on the disk when its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// How reading a journal ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// At its end, or at a last frame that a crash has torn.
    Whole,
    /// In front of a broken frame that others follow: this was no crash.
    Damaged {
        /// Where it begins.
        at: u64,
    },
}

/// Reads a journal from its beginning and tells each record with its place. One that is not there is empty.
pub(crate) fn replay(path: &Path, mut tell: impl FnMut(Place, Record<'_>)) -> io::Result<(Option<Journal>, End)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, End::Whole)),
        Err(error) => return Err(error),
    };
    let whole = file.metadata()?.len();
    let mut journal = Journal { file, length: 0, synced: 0, sync: false };
    let end = loop {
        let Some(records) = frame(&mut journal.file, journal.length, whole)? else {
            break ending(&mut journal.file, journal.length, whole)?;
        };
        let (mut rest, first) = (&records[..], journal.next_record());
        while !rest.is_empty() {
            let before = records.len() - rest.len();
            // A frame with the right checksum and a record that nobody can read was not written by this version.
            let Some(record) = Record::take(&mut rest) else {
                return Ok((Some(journal), End::Damaged { at: first + before as u64 }));
            };
            let length = records.len() - rest.len() - before;
            tell(Place { at: first + before as u64, length: length as u32 }, record);
        }
        journal.length += (HEAD + records.len()) as u64;
    };
    Ok((Some(journal), end))
}

/// The records of the frame that begins here; `None` when there is no whole one. What is allocated is never more than
/// what the file holds.
fn frame(file: &mut File, at: u64, whole: u64) -> io::Result<Option<Vec<u8>>> {
    if whole.saturating_sub(at) < HEAD as u64 {
        return Ok(None);
    }
    let mut found = [0; HEAD];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut found)?;
    if announced(found) > whole - at - HEAD as u64 {
        return Ok(None);
    }
    let mut records = vec![0; announced(found) as usize];
    file.read_exact(&mut records)?;
    Ok((head(&records) == found).then_some(records))
}

/// What it means that no whole frame begins here: only the last one can be torn, so none may follow it.
fn ending(file: &mut File, at: u64, whole: u64) -> io::Result<End> {
    if whole.saturating_sub(at) < HEAD as u64 {
        return Ok(End::Whole);
    }
    let mut found = [0; HEAD];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut found)?;
    let next = at + HEAD as u64 + announced(found);
    let follows = next < whole && frame(file, next, whole)?.is_some();
    Ok(if follows { End::Damaged { at } } else { End::Whole })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What a journal of three frames tells after this was done to its bytes; the second frame begins at byte 17.
    fn after(name: &str, harm: impl FnOnce(&mut Vec<u8>)) -> (Vec<u64>, End) {
        let path = std::env::temp_dir().join(format!("pontoon-journal-{}-{name}", std::process::id()));
        let mut journal = Journal::create(&path, false).unwrap();
        for number in 1..=3 {
            let mut records = Vec::new();
            Record::Gone { number }.put(&mut records);
            journal.append(&records).unwrap();
        }
        let mut bytes = std::fs::read(&path).unwrap();
        harm(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let mut told = Vec::new();
        let (_, end) = replay(&path, |_, record| match record {
            Record::Gone { number } => told.push(number),
            other => panic!("{other:?}"),
        })
        .unwrap();
        std::fs::remove_file(&path).unwrap();
        (told, end)
    }

    #[test]
    fn a_torn_end_is_left_out() {
        assert_eq!(after("whole", |_| {}), (vec![1, 2, 3], End::Whole));
        assert_eq!(after("empty", Vec::clear), (vec![], End::Whole));
        for cut in 1..17 {
            assert_eq!(after("cut", |bytes| bytes.truncate(51 - cut)), (vec![1, 2], End::Whole), "{cut}");
        }
        assert_eq!(after("zeros", |bytes| bytes.extend([0; 40])), (vec![1, 2, 3], End::Whole));
        assert_eq!(after("last", |bytes| bytes[50] ^= 1), (vec![1, 2], End::Whole));
    }

    #[test]
    fn a_broken_frame_with_whole_ones_behind_it_is_no_torn_end() {
        assert_eq!(after("flipped", |bytes| bytes[30] ^= 1), (vec![1], End::Damaged { at: 17 }));
    }
}
