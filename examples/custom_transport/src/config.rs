//! What a user can set.

use std::path::PathBuf;

/// Settings of a folder that holds queues.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderConfig {
    /// Where the journal lies. It is made when it is not there; one process at a time may use it.
    pub folder: PathBuf,
    /// Whether everything is on the disk before it is answered: `true` unless set. With `false` a crash of the process
    /// loses nothing, and a loss of power may; *survives power loss* is not declared then.
    pub sync: bool,
    /// The most unsettled messages of all queues together: 1,000,000 unless set. Beyond it publishers wait. Of each,
    /// place and counts are in memory; fields and body stay in the file.
    pub max_messages: usize,
    /// The largest body, in bytes: 1 MiB unless set.
    pub max_body: u64,
    /// From which length, in bytes, the journal is written anew, without what is settled, each time that it has doubled:
    /// 64 MiB unless set. Nothing else goes on meanwhile.
    pub compact_from: u64,
}

impl FolderConfig {
    /// The defaults, for this folder.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        FolderConfig {
            folder: folder.into(),
            sync: true,
            max_messages: 1_000_000,
            max_body: 1 << 20,
            compact_from: 64 << 20,
        }
    }
}
