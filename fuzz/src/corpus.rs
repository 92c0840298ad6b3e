//! The committed inputs: `fuzz/corpus/<target>/<any name>`.

use std::io;
use std::path::{Path, PathBuf};

/// Where they are in this checkout.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs of one target, in the order of their names.
///
/// # Errors
/// When the folder or one of its files cannot be read.
pub fn read(folder: &Path, target: &str) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut paths =
        std::fs::read_dir(folder.join(target))?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(&path).map(|input| (path, input))).collect()
}
